package buffer

import (
	"fmt"
	"testing"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"headend-agent/internal/metric"
)

// BenchmarkComparison puts the blocks beside what else the same rounds could be kept as: requests that are ready to be sent, and
// Gorilla chunks. Only bytes are compared, without labels for chunks and blocks.
func BenchmarkComparison(b *testing.B) {
	zenc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	for _, ticks := range []int{1, 6, 12} {
		b.Run(fmt.Sprint("ticks=", ticks), func(b *testing.B) {
			c := newCodec()
			w := newWorkload(metric.NewTable(), 200)
			blocks := make([][]round, maxChain)
			for i := range blocks {
				for range ticks {
					w.next(func(r metric.Round) { blocks[i] = append(blocks[i], c.round(r)) })
				}
			}
			sizes := map[string]int{}
			samples := 0
			for b.Loop() {
				clear(sizes)
				samples = 0
				for i, rounds := range blocks {
					samples += countSamples(rounds)
					sizes["block"] += len(c.w.encode(nil, c.k, rounds, i == 0))
					v1, v2, chunks := requests(c.k, rounds)
					sizes["rw1-snappy"] += len(snappy.Encode(nil, v1))
					sizes["rw1-zstd"] += len(zenc.EncodeAll(v1, nil))
					sizes["rw2-snappy"] += len(snappy.Encode(nil, v2))
					sizes["rw2-zstd"] += len(zenc.EncodeAll(v2, nil))
					sizes["gorilla"] += chunks
				}
			}
			for name, n := range sizes {
				b.ReportMetric(float64(n)/float64(samples), name+"-B/sample")
			}
		})
	}
}

// requests turns rounds into remote-write requests of 1.0 and 2.0, all samples of a series together, and into chunks.
func requests(k *book, rounds []round) (v1, v2 []byte, chunks int) {
	r1, r2 := prompb.WriteRequest{}, writev2.Request{}
	symbols := writev2.NewSymbolTable()
	samples := make([][]prompb.Sample, len(k.series))
	for i := range rounds {
		for p, id := range k.lists[rounds[i].list] {
			samples[id] = append(samples[id], prompb.Sample{Timestamp: rounds[i].timeMs, Value: rounds[i].values[p]})
		}
	}
	for id, list := range samples {
		t1, t2, chunk := prompb.TimeSeries{Samples: list}, writev2.TimeSeries{}, chunkenc.NewXORChunk()
		app, err := chunk.Appender()
		if err != nil {
			panic(err)
		}
		for n, v := range k.series[id].Labels.All() {
			t1.Labels = append(t1.Labels, prompb.Label{Name: n, Value: v})
			t2.LabelsRefs = append(t2.LabelsRefs, symbols.Symbolize(n), symbols.Symbolize(v))
		}
		for _, s := range list {
			t2.Samples = append(t2.Samples, writev2.Sample{Timestamp: s.Timestamp, Value: s.Value})
			app.Append(0, s.Timestamp, s.Value)
		}
		r1.Timeseries, r2.Timeseries = append(r1.Timeseries, t1), append(r2.Timeseries, t2)
		chunks += len(chunk.Bytes())
	}
	r2.Symbols = symbols.Symbols()
	v1, err1 := r1.Marshal()
	v2, err2 := r2.Marshal()
	if err1 != nil || err2 != nil {
		panic("marshal")
	}
	return v1, v2, chunks
}
