package sim

import (
	"net/http"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"headend-agent/internal/metric"
)

// written is a decoded request.
type written struct {
	series  []writtenSeries
	samples int
}

type writtenSeries struct {
	labels metric.Labels     // without external ones
	extern map[string]string // those
	points []metric.Point
}

var external = map[string]bool{"instance": true, "job": true, "site": true, "relabelled": true}

func decode(in *http.Request, body []byte) (w written, err error) {
	if in.Header.Get("Content-Encoding") == "zstd" {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return w, err
		}
		defer d.Close()
		if body, err = d.DecodeAll(body, nil); err != nil {
			return w, err
		}
	} else if body, err = snappy.Decode(nil, body); err != nil {
		return w, err
	}
	if isV2(in) {
		var m writev2.Request
		if err := m.Unmarshal(body); err != nil {
			return w, err
		}
		for i := range m.Timeseries {
			ts := &m.Timeseries[i]
			var labels []metric.Label
			for k := 0; k+1 < len(ts.LabelsRefs); k += 2 {
				labels = append(labels, metric.Label{Name: m.Symbols[ts.LabelsRefs[k]], Value: m.Symbols[ts.LabelsRefs[k+1]]})
			}
			x := newWrittenSeries(labels)
			for _, s := range ts.Samples {
				x.points = append(x.points, metric.Point{TimeMs: s.Timestamp, Value: s.Value})
			}
			w.add(x)
		}
		return w, nil
	}
	var m prompb.WriteRequest
	if err := m.Unmarshal(body); err != nil {
		return w, err
	}
	for i := range m.Timeseries {
		ts := &m.Timeseries[i]
		var labels []metric.Label
		for _, l := range ts.Labels {
			labels = append(labels, metric.Label{Name: l.Name, Value: l.Value})
		}
		x := newWrittenSeries(labels)
		for _, s := range ts.Samples {
			x.points = append(x.points, metric.Point{TimeMs: s.Timestamp, Value: s.Value})
		}
		w.add(x)
	}
	return w, nil
}

func newWrittenSeries(labels []metric.Label) writtenSeries {
	x := writtenSeries{extern: map[string]string{}}
	var own []metric.Label
	for _, l := range labels {
		if external[l.Name] {
			x.extern[l.Name] = l.Value
		} else {
			own = append(own, l)
		}
	}
	x.labels = metric.NewLabels(own)
	return x
}

// look checks what a request says beside its samples.
func (r *receiver) look(w written) {
	site := r.world.site()
	seen := map[metric.Labels]bool{}
	for i := range w.series {
		s := &w.series[i]
		if seen[s.labels] {
			r.world.fail("truth: %s receives %s twice in one request", r.name, s.labels)
			return
		}
		seen[s.labels] = true
		if s.extern["instance"] != "simulated" || s.extern["job"] != "headend" || site != "" && s.extern["site"] != site {
			r.world.fail("truth: %s receives %s with the external labels %v", r.name, s.labels, s.extern)
			return
		}
	}
}

func (w *written) add(s writtenSeries) {
	w.series = append(w.series, s)
	w.samples += len(s.points)
}
