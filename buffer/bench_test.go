package buffer

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/units"

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

// outage fills a buffer as an outage does: so many ticks of a machine with streams, one commit every 30 s.
func outage(b *testing.B, path string, size units.Base2Bytes, ticks int) (*Buffer, int) {
	cfg := DefaultConfig()
	cfg.Path, cfg.Size = path, size
	table := metric.NewTable()
	buf, err := Open(cfg, Parts{Table: table, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	buf.Reader("a", Options{})
	w := newWorkload(table, 200)
	r := rig{t: b, b: buf}
	for i := range ticks {
		w.next(buf.Append)
		if i%6 == 5 {
			r.commit()
		}
	}
	return buf, ticks * w.samples()
}

// BenchmarkRingOnDisk shows what a sample costs on disk, all in: headers, dictionaries, padding to pages.
func BenchmarkRingOnDisk(b *testing.B) {
	for b.Loop() {
		buf, samples := outage(b, b.TempDir(), 64*units.MiB, 6*300)
		s := buf.Stats()
		b.ReportMetric(float64(s.Written)/float64(samples), "B/sample")
		b.ReportMetric(float64(64<<20)/float64(s.Written)*float64(samples)/600/3600, "hours-in-64MiB")
		buf.Close()
	}
}

// BenchmarkDrain reads a backlog from disk, batch by batch as a sender does.
func BenchmarkDrain(b *testing.B) {
	path := b.TempDir()
	buf, samples := outage(b, path, 64*units.MiB, 6*60)
	d := buf.Reader("b", Options{}) // "a" holds what it has passed
	b.ReportAllocs()
	for b.Loop() {
		d.live, d.gaps = buf.first(), nil
		for n := 0; n < samples; {
			batch, err := d.Next(context.Background(), metric.Limit{Samples: 40_000})
			if err != nil {
				b.Fatal(err)
			}
			n += batch.Count
			d.Ack(batch, metric.Outcome{Delivered: batch.Count})
		}
	}
	b.ReportMetric(float64(b.N*samples)/b.Elapsed().Seconds()/1e6, "Msamples/s")
	buf.Close()
}

// BenchmarkStart opens a full ring of 64 MiB.
func BenchmarkStart(b *testing.B) {
	path := b.TempDir()
	buf, _ := outage(b, path, 64*units.MiB, 6*3800)
	buf.Close()
	cfg := DefaultConfig()
	cfg.Path = path
	for b.Loop() {
		buf, err := Open(cfg, Parts{Table: metric.NewTable(), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		if n := len(buf.segments); n < 64 {
			b.Fatalf("%d segments", n)
		}
		buf.kill()
	}
}

// BenchmarkDeviceWrites counts what an outage writes to a device, the journal of its ext4 included: each iteration is one commit
// of 30 s of rounds, and takes six seconds, so that the journal does not share its work between them. Run it with -benchtime 10x.
func BenchmarkDeviceWrites(b *testing.B) {
	if b.N == 1 && !strings.HasSuffix(os.Getenv("BENCH_DEVICE"), "1") {
		b.Skip("takes a minute: set BENCH_DEVICE=1")
	}
	dir, device := ext4(b, 128)
	buf, _ := outage(b, filepath.Join(dir, "buffer"), 64*units.MiB, 12)
	defer buf.Close()
	w := newWorkload(buf.table, 200)
	r := rig{t: b, b: buf}
	time.Sleep(10 * time.Second)
	before := sectors(b, device)
	b.ResetTimer()
	for range b.N {
		for range 6 {
			w.next(buf.Append)
		}
		r.commit()
		time.Sleep(6 * time.Second)
	}
	b.ReportMetric(float64(sectors(b, device)-before)*512/float64(b.N)*2/1000, "kB/minute")
}

// sectors reads how many were written to a block device.
func sectors(b *testing.B, device string) (n int64) {
	text, err := os.ReadFile("/sys/block/" + device + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	fmt.Sscan(strings.Fields(string(text))[6], &n)
	return n
}
