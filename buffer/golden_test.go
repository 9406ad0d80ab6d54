package buffer

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/alecthomas/units"

	"headend-agent/internal/metric"
)

var update = flag.Bool("update", false, "write testdata anew: only with a new version of the format")

const goldenStart = 1_790_000_000_000

// goldenFeed fills a buffer with all that the format can say.
func goldenFeed(b *Buffer, table *metric.Table) {
	f := newFeed(table, 20)
	f.startMs = goldenStart
	b.Reader("main", Options{}).SetNote("note")
	commit := func() {
		(&rig{b: b}).commit()
	}
	for range 40 {
		r := f.round()
		r.StartMs, r.Epoch = goldenStart-5000, 42
		b.Append(r)
		if f.rounds%8 == 0 {
			commit()
		}
	}
	odd := []metric.Ref{table.Intern(metric.LabelsOf("odd", "zone", "a\"b\\c\n"), &metric.Desc{Name: "odd", Help: "Odd.", Type: metric.Gauge, Unit: metric.Celsius})}
	for i, v := range oddities {
		b.Append(metric.Round{Source: "odd", TimeMs: goldenStart + int64(i), Series: odd, Values: []float64{v}})
	}
	b.Append(metric.Round{TimeMs: 60_000, Epoch: 7, Unset: true, Series: odd, Values: []float64{1}})
	b.epochs = append(b.epochs, epochOffset{42, 1000})
	commit()
}

// TestGoldenDirectory reads what version 1 of the format has written. Every later version has to.
func TestGoldenDirectory(t *testing.T) {
	cfg := Config{Path: "testdata/v1", Size: 4 * units.MiB, Memory: units.MiB}
	if *update {
		os.RemoveAll(cfg.Path)
		table := metric.NewTable()
		r := &rig{t: t, cfg: cfg, table: table}
		r.open()
		goldenFeed(r.b, table)
		r.b.Close()
		slot := filepath.Join(cfg.Path, "v1", "slot-0000") // without the empty end
		data, err := os.ReadFile(slot)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(slot, data[:pages(int64(len(bytes.TrimRight(data, "\x00"))))], 0o640); err != nil {
			t.Fatal(err)
		}
	}
	want := &rig{t: t, fs: newMemFS(), cfg: smallConfig("/disk"), table: metric.NewTable()}
	want.open()
	defer want.b.Close()
	goldenFeed(want.b, want.table)

	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(cfg.Path)); err != nil {
		t.Fatal(err)
	}
	got := &rig{t: t, cfg: cfg, table: metric.NewTable()}
	got.cfg.Path = dir
	got.open()
	defer got.b.Close()
	if note := got.b.Reader("main", Options{}).Note(); note != "note" {
		t.Errorf("note %q", note)
	}
	for _, b := range []*Buffer{got.b, want.b} {
		b.Restamp(metric.Timebase{Boot: 7, Epoch: 44, OriginMs: goldenStart})
	}
	a, b := got.everything(), want.everything()
	if len(a) != 40*20+len(oddities)+1 {
		t.Errorf("%d samples", len(a))
	}
	for k, v := range b {
		if w, ok := a[k]; !ok || math.Float64bits(v) != math.Float64bits(w) {
			t.Errorf("%v is %v, want %v", k, w, v)
		}
	}
}

// everything drains what there is, by series and time.
func (r *rig) everything() map[sampleKey]float64 {
	all := map[sampleKey]float64{}
	d := r.b.Reader("main", Options{})
	for {
		batch := r.tryNext(d, 1000)
		if batch == nil {
			return all
		}
		for _, s := range batch.Series {
			for _, x := range s.Points {
				all[key(s.Ref, x.TimeMs)] = x.Value
			}
		}
		d.Ack(batch, metric.Outcome{Delivered: batch.Count})
	}
}
