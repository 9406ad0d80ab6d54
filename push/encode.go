package push

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"headend-agent/internal/metric"
)

// encoder builds the body of one request, a series at a time. Its memory is used again; the result of finish is valid until begin.
type encoder interface {
	begin()
	// add appends a series, unless that would make a body that holds something already larger than bound.
	add(labels []metric.Label, s *metric.Samples, bound int) bool
	finish() []byte
}

// Field tags (number<<3 | length-delimited) of the two messages' repeated fields, from remote.proto and the 2.0 specification.
const (
	tagTimeseriesV1 = 1<<3 | 2
	tagMetadataV1   = 3<<3 | 2
	tagSymbolsV2    = 4<<3 | 2
	tagTimeseriesV2 = 5<<3 | 2
)

// negativeZero is a sample's value field (number 1, 8 bytes) with -0 in it: the generated code takes that for 0, and leaves it out.
var negativeZero = []byte{1<<3 | 1, 0, 0, 0, 0, 0, 0, 0, 0x80}

// encoderV1 builds prometheus.WriteRequest. One TimeSeries at a time is marshalled, so that memory is that of the bytes alone.
type encoderV1 struct {
	series prompb.TimeSeries
	body   []byte
}

func (e *encoderV1) begin() { e.body = e.body[:0] }

func (e *encoderV1) add(labels []metric.Label, s *metric.Samples, bound int) bool {
	e.series.Labels = e.series.Labels[:0]
	classic := true
	for _, l := range labels {
		e.series.Labels = append(e.series.Labels, prompb.Label{Name: l.Name, Value: l.Value})
		classic = classic && classicName(l.Name, false) && (l.Name != metric.NameLabel || classicName(l.Value, true))
	}
	if !classic {
		e.series.Labels = makeClassic(e.series.Labels)
	}
	e.series.Samples = e.series.Samples[:0]
	for _, p := range s.Points {
		x := prompb.Sample{Value: p.Value, Timestamp: p.TimeMs}
		if p.Value == 0 && math.Signbit(p.Value) {
			x.XXX_unrecognized = negativeZero
		}
		e.series.Samples = append(e.series.Samples, x)
	}
	size := e.series.Size()
	if len(e.body) > 0 && len(e.body)+size+maxFieldHead > bound {
		return false
	}
	var part []byte
	e.body, part = extend(e.body, tagTimeseriesV1, size)
	must(e.series.MarshalToSizedBuffer(part))
	return true
}

func (e *encoderV1) finish() []byte { return e.body }

// encoderV2 builds io.prometheus.write.v2.Request, with each series' type, unit and help text: a receiver that
// is sometimes not told the text lists its family twice.
type encoderV2 struct {
	series  writev2.TimeSeries
	symbols writev2.SymbolsTable
	written int    // symbols of the series in body
	table   int    // bytes that they take
	body    []byte // the series, and in the end the symbols before them
}

func newEncoderV2() *encoderV2 { return &encoderV2{symbols: writev2.NewSymbolTable()} }

func (e *encoderV2) begin() {
	e.symbols.Reset()
	e.written, e.table, e.body = 0, 0, e.body[:0]
}

func (e *encoderV2) add(labels []metric.Label, s *metric.Samples, bound int) bool {
	e.series.LabelsRefs = e.series.LabelsRefs[:0]
	for _, l := range labels {
		e.series.LabelsRefs = append(e.series.LabelsRefs, e.symbols.Symbolize(l.Name), e.symbols.Symbolize(l.Value))
	}
	d := s.Ref.Desc()
	start := int64(0)
	if d.Type == metric.Counter || d.Type == metric.Histogram {
		start = s.StartMs
	}
	e.series.Samples = e.series.Samples[:0]
	for _, p := range s.Points {
		x := writev2.Sample{Value: p.Value, Timestamp: p.TimeMs}
		if start < x.Timestamp {
			x.StartTimestamp = start
		}
		if p.Value == 0 && math.Signbit(p.Value) {
			x.XXX_unrecognized = negativeZero
		}
		e.series.Samples = append(e.series.Samples, x)
	}
	e.series.Metadata = writev2.Metadata{
		Type: messageTypes[d.Type], HelpRef: e.symbols.Symbolize(shortHelp(d.Help)), UnitRef: e.symbols.Symbolize(string(d.Unit)),
	}
	written, table := e.written, e.table
	for symbols := e.symbols.Symbols(); e.written < len(symbols); e.written++ {
		e.table += fieldSize(len(symbols[e.written]))
	}
	size := e.series.Size()
	if len(e.body) > 0 && len(e.body)+e.table+size+maxFieldHead > bound {
		e.written, e.table = written, table // its symbols stay out as well
		return false
	}
	var part []byte
	e.body, part = extend(e.body, tagTimeseriesV2, size)
	must(e.series.OptimizedMarshalToSizedBuffer(part))
	return true
}

// finish puts the symbols first: some receivers decode in one pass.
func (e *encoderV2) finish() []byte {
	series := len(e.body)
	e.body = lengthen(e.body, e.table)
	copy(e.body[e.table:], e.body[:series])
	head := e.body[:0]
	for _, s := range e.symbols.Symbols()[:e.written] {
		var part []byte
		head, part = extend(head, tagSymbolsV2, len(s))
		copy(part, s)
	}
	return e.body
}

// shortHelp cuts a help text to what receivers take.
func shortHelp(help string) string {
	if len(help) <= maxHelp {
		return help
	}
	return strings.ToValidUTF8(help[:maxHelp], "")
}

var messageTypes = [...]writev2.Metadata_MetricType{
	metric.Unknown:        writev2.Metadata_METRIC_TYPE_UNSPECIFIED,
	metric.Counter:        writev2.Metadata_METRIC_TYPE_COUNTER,
	metric.Gauge:          writev2.Metadata_METRIC_TYPE_GAUGE,
	metric.Histogram:      writev2.Metadata_METRIC_TYPE_HISTOGRAM,
	metric.Summary:        writev2.Metadata_METRIC_TYPE_SUMMARY,
	metric.Info:           writev2.Metadata_METRIC_TYPE_INFO,
	metric.StateSet:       writev2.Metadata_METRIC_TYPE_STATESET,
	metric.GaugeHistogram: writev2.Metadata_METRIC_TYPE_GAUGEHISTOGRAM,
}

// maxFieldHead bounds the bytes of a field's tag and length.
const maxFieldHead = 1 + binary.MaxVarintLen32

// fieldSize returns the bytes of a field with its tag and length.
func fieldSize(size int) int {
	n := 2 + size
	for x := size; x >= 0x80; x >>= 7 {
		n++
	}
	return n
}

// extend appends a field's tag and length to b and returns the size bytes behind them, to be filled in.
func extend(b []byte, tag byte, size int) (all, field []byte) {
	b = binary.AppendUvarint(append(b, tag), uint64(size))
	n := len(b)
	b = lengthen(b, size)
	return b, b[n:]
}

// lengthen appends n bytes of any content.
func lengthen(b []byte, n int) []byte { return slices.Grow(b, n)[:len(b)+n] }

// must is for marshalling into a buffer of the size that the message itself gave: an error is a mistake of ours.
func must(_ int, err error) {
	if err != nil {
		panic(err)
	}
}
