package buffer

import (
	"fmt"
	"testing"

	"headend-agent/internal/metric"
)

// BenchmarkBlocks shows what a sample costs in memory, and how fast it goes in and out.
func BenchmarkBlocks(b *testing.B) {
	for _, ticks := range []int{6, 12} {
		c := newCodec()
		w := newWorkload(metric.NewTable(), 200)
		blocks := make([][]round, 3*maxChain)
		for i := range blocks {
			for range ticks {
				w.next(func(r metric.Round) { blocks[i] = append(blocks[i], c.round(r)) })
			}
		}
		n := countSamples(blocks[0])
		var encoded [][]byte
		b.Run(fmt.Sprintf("encode/ticks=%d", ticks), func(b *testing.B) {
			b.ReportAllocs()
			bytes := 0
			var buf []byte
			for i := 0; b.Loop(); i++ {
				buf = c.w.encode(buf[:0], c.k, blocks[i%len(blocks)], i%maxChain == 0)
				bytes += len(buf)
			}
			b.ReportMetric(float64(bytes)/float64(b.N*n), "B/sample")
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds()/1e6, "Msamples/s")
		})
		for i := range blocks {
			encoded = append(encoded, c.w.encode(nil, c.k, blocks[i], i%maxChain == 0))
		}
		b.Run(fmt.Sprintf("decode/ticks=%d", ticks), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := c.r.decode(encoded[i%len(encoded)], c.k, i%maxChain == 0, 0, n); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds()/1e6, "Msamples/s")
		})
	}
}
