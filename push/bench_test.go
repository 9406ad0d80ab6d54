package push

import (
	"fmt"
	"testing"
	"time"

	"headend-agent/internal/metric"
)

// batchOf is a batch like those of an edge server: 200 streams with ten counters and gauges each.
func batchOf(streams, samples int) []metric.Samples {
	table := metric.NewTable()
	var set []metric.Samples
	start := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC).UnixMilli()
	for m := range 10 {
		d := &metric.Desc{Name: fmt.Sprintf("flussonic_stream_metric_%d", m), Help: fmt.Sprintf("What number %d of a stream says.", m), Type: metric.Type(1 + m%2), Unit: metric.Bytes}
		for i := range streams {
			x := metric.Samples{Ref: table.Intern(metric.LabelsOf(d.Name, "stream", fmt.Sprintf("channel-%04d", i), "server", "main"), d), StartMs: start - 86_400_000}
			v := float64(1_000_000*i + m)
			for k := range samples {
				if v += float64((k*7919+i*104729+m*31)%50_000) * 100; m%2 == 1 {
					v = float64((k*31 + i) % 97)
				}
				x.Points = append(x.Points, metric.Point{TimeMs: start + int64(k)*5000, Value: v})
			}
			set = append(set, x)
		}
	}
	return set
}

func benchmarkShaper() *shaper {
	return newShaper([]metric.Label{{Name: "instance", Value: "edge-msk-17.example"}, {Name: "job", Value: "headend"}, {Name: "site", Value: "msk-1"}}, nil)
}

func BenchmarkEncode(b *testing.B) {
	for _, p := range []*protocol{protocolV1, protocolV2} {
		for _, samples := range []int{1, 12} {
			b.Run(fmt.Sprintf("%s/%d", p.name, samples), func(b *testing.B) {
				set := batchOf(200, samples)
				builder := newBuilder(benchmarkShaper())
				b.ReportAllocs()
				size := 0
				for b.Loop() {
					r := request{proto: p}
					size = len(builder.encode(&r, set, maxSamples, maxBody))
				}
				b.ReportMetric(float64(b.N*len(set)*samples)/b.Elapsed().Seconds(), "samples/s")
				b.ReportMetric(float64(size)/float64(len(set)*samples), "B/sample")
			})
		}
	}
}

// BenchmarkBuild compresses too: what a request costs before it goes out.
func BenchmarkBuild(b *testing.B) {
	for _, p := range []*protocol{protocolV1, protocolV2, protocolVM} {
		for _, samples := range []int{1, 12, 20} {
			b.Run(fmt.Sprintf("%s/%d", p.name, samples), func(b *testing.B) {
				set := batchOf(200, samples)
				builder := newBuilder(benchmarkShaper())
				b.ReportAllocs()
				var r request
				for b.Loop() {
					r, _ = builder.build(set, p, &limits{line: maxPacked})
				}
				b.ReportMetric(float64(b.N*r.samples)/b.Elapsed().Seconds(), "samples/s")
				b.ReportMetric(float64(len(r.packed))/float64(r.samples), "B/sample")
			})
		}
	}
}
