package buffer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"

	"headend-agent/internal/metric"
)

// rig is a buffer with what it stands on, and what it should hand out.
type rig struct {
	t       testing.TB
	fs      FS
	cfg     Config
	runtime string
	table   *metric.Table
	b       *Buffer
	feed    *feed
	log     io.Writer // nil: nobody reads it
}

// feed makes rounds whose values tell which sample of which series they are.
type feed struct {
	series  []metric.Ref
	rounds  int
	startMs int64
	all     map[sampleKey]float64
	noisy   bool // values are hard to compress
	names   int  // of series, given by churn
}

func newFeed(table *metric.Table, series int) *feed {
	f := &feed{startMs: time.Now().UnixMilli() - 1000, all: map[sampleKey]float64{}}
	for i := range series {
		d := &metric.Desc{Name: fmt.Sprintf("feed_%d_total", i%7), Help: "Feed.", Type: metric.Counter}
		f.series = append(f.series, table.Intern(metric.LabelsOf(d.Name, "n", fmt.Sprint(i)), d))
	}
	return f
}

func (f *feed) round() metric.Round {
	f.rounds++
	r := metric.Round{Source: "feed", TimeMs: f.startMs + int64(f.rounds), Series: f.series}
	for i, s := range f.series {
		v := float64(f.rounds*1000+i) / 10
		if f.noisy {
			v = math.Float64frombits(uint64(f.rounds*1000+i)*0x9E3779B97F4A7C15>>12 | 0x3ff<<52)
		}
		if f.rounds%13 == 0 && i == 0 {
			v = metric.Stale()
		}
		r.Values = append(r.Values, v)
		f.all[key(s, r.TimeMs)] = v
	}
	return r
}

// sampleKey tells a sample from all others.
type sampleKey struct {
	series metric.Labels
	ms     int64
}

func key(s metric.Ref, ms int64) sampleKey { return sampleKey{s.Labels.Packed(), ms} }

func smallConfig(path string) Config {
	return Config{Path: path, Size: 4 * units.MiB, Memory: units.MiB, CommitInterval: model.Duration(30 * time.Second)}
}

func newRig(t testing.TB, fsys FS, cfg Config, runtime string) *rig {
	r := &rig{t: t, fs: fsys, cfg: cfg, runtime: runtime, table: metric.NewTable()}
	r.open()
	r.feed = newFeed(r.table, 10)
	return r
}

func (r *rig) open() {
	r.t.Helper()
	log := slog.New(slog.DiscardHandler)
	if r.log != nil {
		log = slog.New(slog.NewTextHandler(r.log, nil))
	}
	b, err := Open(r.cfg, Parts{Table: r.table, Log: log, Runtime: r.runtime, FS: r.fs})
	if err != nil {
		r.t.Fatal(err)
	}
	r.b = b
}

func (r *rig) append(rounds int) {
	for range rounds {
		r.b.Append(r.feed.round())
	}
}

// kill ends the buffer as a kill does: nothing is written any more.
func (b *Buffer) kill() {
	close(b.stop)
	b.done.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tail != nil {
		b.tail.close()
		b.tail = nil
	}
	if b.disk.ring != nil {
		b.disk.ring.close()
	}
}

// late makes a destination late, so that everything is committed, and commits.
func (r *rig) commit() {
	r.b.mu.Lock()
	r.b.disk.lateSince = time.Now()
	r.b.mu.Unlock()
	r.b.commit(false)
}

// drain reads all there is, acknowledges it, and returns it by series and time. Samples that come twice, in disorder or with
// values that nobody has appended are errors.
func (r *rig) drain(d *Reader, limit int) map[sampleKey]float64 {
	r.t.Helper()
	got := map[sampleKey]float64{}
	for {
		batch := r.tryNext(d, limit)
		if batch == nil {
			return got
		}
		r.take(batch, got)
		d.Ack(batch, metric.Outcome{Delivered: batch.Count})
	}
}

func (r *rig) take(batch *metric.Batch, got map[sampleKey]float64) {
	r.t.Helper()
	n := 0
	for _, s := range batch.Series {
		last := int64(math.MinInt64)
		for _, x := range s.Points {
			if x.TimeMs <= last {
				r.t.Fatalf("%v at %d comes after %d", s.Ref.Labels, x.TimeMs, last)
			}
			last = x.TimeMs
			k := key(s.Ref, x.TimeMs)
			if _, twice := got[k]; twice {
				r.t.Fatalf("%v comes twice", k)
			}
			if want, ok := r.feed.all[k]; !ok || math.Float64bits(want) != math.Float64bits(x.Value) {
				r.t.Fatalf("%v is %v, want %v", k, x.Value, want)
			}
			got[k] = x.Value
			n++
		}
	}
	if n != batch.Count {
		r.t.Fatalf("the batch says it has %d samples; it has %d", batch.Count, n)
	}
}

// tryNext returns nil where there is nothing to be had.
func (r *rig) tryNext(d *Reader, limit int) *metric.Batch {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if n, _ := d.Pending(); n == 0 {
		cancel()
	}
	defer cancel()
	batch, err := d.Next(ctx, metric.Limit{Samples: limit})
	if err != nil {
		return nil
	}
	return batch
}

// wantRounds checks that got is exactly the rounds with the numbers from..to, counted from 1.
func (r *rig) wantRounds(got map[sampleKey]float64, from, to int) {
	r.t.Helper()
	missing := 0
	for n := from; n <= to; n++ {
		for _, s := range r.feed.series {
			if _, ok := got[key(s, r.feed.startMs+int64(n))]; !ok {
				missing++
			}
		}
	}
	if extra := len(got) - ((to-from+1)*len(r.feed.series) - missing); missing > 0 || extra > 0 {
		r.t.Fatalf("of rounds %d to %d %d samples are missing, and there are %d others", from, to, missing, extra)
	}
}

// accounted checks that every sample appended since the destination began is delivered, dropped or pending.
func (r *rig) accounted(name string, appended int) {
	r.t.Helper()
	s := r.b.Stats().Destinations[name]
	sum := int(s.Delivered+s.Refused+s.Uncertain) + s.Pending
	for _, n := range s.Dropped {
		sum += int(n)
	}
	if sum != appended {
		r.t.Fatalf("%d samples appended, %d accounted for: %+v", appended, sum, s)
	}
}
