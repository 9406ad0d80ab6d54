package push

import (
	"encoding/binary"

	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"headend-agent/internal/metric"
)

// encoder builds one request, a series at a time. Its memory is used again; the result of finish is valid until begin.
type encoder interface {
	begin()
	add(labels []metric.Label, s *metric.Samples)
	finish() []byte
}

// Field tags (number<<3 | length-delimited) of the two messages' repeated fields, from remote.proto and the 2.0 specification.
const (
	tagTimeseriesV1 = 1<<3 | 2
	tagSymbolsV2    = 4<<3 | 2
	tagTimeseriesV2 = 5<<3 | 2
)

// encoderV1 builds prometheus.WriteRequest. One TimeSeries at a time is marshalled, so that memory is that of the bytes alone.
type encoderV1 struct {
	series prompb.TimeSeries
	body   []byte
}

func (e *encoderV1) begin() { e.body = e.body[:0] }

func (e *encoderV1) add(labels []metric.Label, s *metric.Samples) {
	e.series.Labels = e.series.Labels[:0]
	for _, l := range labels {
		e.series.Labels = append(e.series.Labels, prompb.Label{Name: l.Name, Value: l.Value})
	}
	e.series.Samples = e.series.Samples[:0]
	for i, v := range s.Values {
		e.series.Samples = append(e.series.Samples, prompb.Sample{Value: v, Timestamp: s.TimesMs[i]})
	}
	var part []byte
	e.body, part = extend(e.body, tagTimeseriesV1, e.series.Size())
	must(e.series.MarshalToSizedBuffer(part))
}

func (e *encoderV1) finish() []byte { return e.body }

// encoderV2 builds io.prometheus.write.v2.Request, with each series' metadata.
type encoderV2 struct {
	series  writev2.TimeSeries
	symbols writev2.SymbolsTable
	tail    []byte // the series, marshalled
	body    []byte
}

func newEncoderV2() *encoderV2 { return &encoderV2{symbols: writev2.NewSymbolTable()} }

func (e *encoderV2) begin() {
	e.symbols.Reset()
	e.tail, e.body = e.tail[:0], e.body[:0]
}

func (e *encoderV2) add(labels []metric.Label, s *metric.Samples) {
	e.series.LabelsRefs = e.series.LabelsRefs[:0]
	for _, l := range labels {
		e.series.LabelsRefs = append(e.series.LabelsRefs, e.symbols.Symbolize(l.Name), e.symbols.Symbolize(l.Value))
	}
	d := s.Ref.Desc()
	start := int64(0)
	if d.Type == metric.Counter {
		start = s.StartMs
	}
	e.series.Samples = e.series.Samples[:0]
	for i, v := range s.Values {
		e.series.Samples = append(e.series.Samples, writev2.Sample{Value: v, Timestamp: s.TimesMs[i], StartTimestamp: start})
	}
	e.series.Metadata = writev2.Metadata{
		Type: messageTypes[d.Type], HelpRef: e.symbols.Symbolize(d.Help), UnitRef: e.symbols.Symbolize(string(d.Unit)),
	}
	var part []byte
	e.tail, part = extend(e.tail, tagTimeseriesV2, e.series.Size())
	must(e.series.OptimizedMarshalToSizedBuffer(part))
}

// finish puts the symbols first: some receivers decode in one pass.
func (e *encoderV2) finish() []byte {
	for _, s := range e.symbols.Symbols() {
		var part []byte
		e.body, part = extend(e.body, tagSymbolsV2, len(s))
		copy(part, s)
	}
	e.body = append(e.body, e.tail...)
	return e.body
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

// extend appends a field's tag and length to b and returns the size bytes behind them, to be filled in.
func extend(b []byte, tag byte, size int) (all, field []byte) {
	b = binary.AppendUvarint(append(b, tag), uint64(size))
	n := len(b)
	if cap(b) < n+size {
		b = append(b, make([]byte, size)...)
	}
	b = b[:n+size]
	return b, b[n:]
}

// must is for marshalling into a buffer of the size that the message itself gave: an error is a mistake of ours.
func must(_ int, err error) {
	if err != nil {
		panic(err)
	}
}
