package buffer

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alecthomas/units"

	"headend-agent/internal/metric"
)

// troubles are what a file system may suffer from, for a while. A name begins with the directory concerned.
var troubles = []struct {
	name  string
	fault func(op, name string) error
}{
	{"disk denied", func(op, name string) error {
		if under("/disk", name) && (strings.HasPrefix(op, "open") || op == "readdir" || op == "mkdir" || op == "remove") {
			return syscall.EACCES
		}
		return nil
	}},
	{"disk fails", func(op, name string) error {
		if under("/disk", name) && op != "lock" {
			return syscall.EIO
		}
		return nil
	}},
	{"disk cannot be read", func(op, name string) error {
		if under("/disk", name) && op == "read" {
			return syscall.EIO
		}
		return nil
	}},
	{"disk is read-only", func(op, name string) error {
		if under("/disk", name) && op != "open" && op != "read" && op != "readdir" && op != "lock" && op != "stat" {
			return syscall.EROFS
		}
		return nil
	}},
	{"disk is full", func(op, name string) error {
		if under("/disk", name) && (op == "reserve" || op == "mkdir") {
			return syscall.ENOSPC
		}
		return nil
	}},
	{"syncs fail", func(op, name string) error {
		if under("/disk", name) && op == "sync" {
			return syscall.EIO
		}
		return nil
	}},
	{"no room for the WAL", func(op, name string) error {
		if under("/run", name) && (op == "reserve" || op == "mkdir" || op == "write" && !strings.HasSuffix(name, "cursors")) {
			return syscall.ENOSPC
		}
		return nil
	}},
}

func under(dir, name string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// TestTroubleAtRandom lives through all troubles of a file system, with kills, stops, reloads, moved directories and other sizes, in any
// order. A WAL is there, so every sample comes in the end; none comes twice, but of batches without an answer.
func TestTroubleAtRandom(t *testing.T) {
	for trial := range trials(t, 150) {
		t.Run(fmt.Sprint(trial), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { liveThroughTrouble(t, uint64(trial)) })
		})
	}
}

func liveThroughTrouble(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 13))
	fsys := newMemFS()
	var fault atomic.Pointer[func(op, name string) error]
	fsys.fault = func(op, name string, _ int) error {
		if f := fault.Load(); f != nil {
			return (*f)(op, name)
		}
		return nil
	}
	var history []string
	say := func(format string, args ...any) { history = append(history, fmt.Sprintf(format, args...)) }
	log := new(safeText)
	r := &rig{t: t, fs: fsys, cfg: smallConfig("/disk"), runtime: "/run", table: metric.NewTable()}
	r.cfg.Size = 20 * units.MiB
	open := func() {
		b, err := Open(r.cfg, Parts{Table: r.table, Log: slog.New(slog.NewTextHandler(log, nil)), Runtime: "/run", FS: fsys})
		if err != nil {
			t.Fatal(err)
		}
		r.b = b
	}
	fail := func(format string, args ...any) {
		t.Helper()
		close(r.b.stop)
		t.Fatalf("%s\n%s\n%s", fmt.Sprintf(format, args...), strings.Join(history, "\n"), log)
	}
	open()
	r.feed = newFeed(r.table, 10)
	o := Options{LiveFirst: rnd.IntN(3) == 0, LateAfter: 20 * time.Second}
	d := r.b.Reader("a", o)
	acked := map[sampleKey]float64{}
	moved, full := false, false
	overflow := 0 // samples
	ends := func() { overflow += int(r.b.Stats().Destinations["a"].Dropped["overflow"]) }
	putBack := func() {
		time.Sleep(6 * time.Minute) // what has come into its place is in use, if there is anything
		fsys.move("/disk", "")
		fsys.move("/elsewhere", "/disk")
	}
	for range 40 {
		st := r.b.Stats()
		say("    %s: mode %s, %d blocks, %d rounds, %d pending, %d delivered, dropped %v, tail %v", time.Now().Format("15:04:05"), st.Mode, st.Blocks, st.Rounds,
			st.Destinations["a"].Pending, len(acked), st.Destinations["a"].Dropped, st.Tail)
		if err := r.b.check(); err != nil {
			fail("%v", err)
		}
		switch e := rnd.IntN(20); {
		case e < 5:
			n := 1 + rnd.IntN(20)
			say("append %d", n)
			r.append(n)
		case e < 8:
			kind := metric.Oldest
			if o.LiveFirst && rnd.IntN(2) == 0 {
				kind = metric.Live
			}
			for range 1 + rnd.IntN(3) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				batch, err := d.Next(ctx, metric.Limit{Samples: 1 + rnd.IntN(300), Lane: kind})
				cancel()
				if err != nil {
					break
				}
				got := content(batch)
				for k := range got {
					_, twice := acked[k]
					if _, known := r.feed.all[k]; twice || !known {
						fail("%v comes twice, or was never appended", k)
					}
				}
				if rnd.IntN(4) == 0 {
					say("fail %d", batch.Count)
					d.Fail(batch, rnd.IntN(2) == 0)
					break
				}
				say("deliver %d", batch.Count)
				maps.Copy(acked, got)
				d.Ack(batch, metric.Outcome{Delivered: batch.Count})
			}
		case e < 10:
			s := time.Duration(1+rnd.IntN(400)) * time.Second
			say("sleep %s", s)
			time.Sleep(s)
		case e == 10:
			say("commit")
			r.commit()
		case e == 11:
			say("reload")
			d = r.b.Reader("a", o)
		case e == 12 && st.Tail: // else a kill may cost something
			say("kill")
			ends()
			r.b.kill()
			fsys.unlock()
			open()
			d = r.b.Reader("a", o)
		case e == 13 && st.Tail:
			say("restart")
			err := r.b.Close()
			ends()
			if n := fsys.open; n != 0 {
				fail("%d files are open after Close: %v", n, err)
			}
			r.cfg.Size = units.Base2Bytes(20+rnd.IntN(5)) * units.MiB
			open()
			d = r.b.Reader("a", o)
		case e < 17:
			x := troubles[rnd.IntN(len(troubles))]
			say("%s", x.name)
			full = full || x.name == "disk is full"
			fault.Store(&x.fault)
		case e == 17 && !moved:
			say("move away")
			fsys.move("/disk", "/elsewhere")
			moved = true
		default:
			say("all is well")
			fault.Store(nil)
			if moved {
				putBack()
			}
			time.Sleep(11 * time.Minute) // all that was elsewhere is copied, and the WAL written
			moved = false
		}
	}
	fault.Store(nil)
	if moved {
		putBack()
	}
	say("the end")
	time.Sleep(30 * time.Minute)
	d = r.b.Reader("a", Options{})
	for n, _ := d.Pending(); n > 0; n, _ = d.Pending() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		batch, err := d.Next(ctx, metric.Limit{Samples: 1000})
		cancel()
		if err != nil {
			fail("%d samples are pending, and do not come", n)
		}
		for k := range content(batch) {
			if _, twice := acked[k]; twice {
				fail("%v comes twice at the end", k)
			}
		}
		maps.Copy(acked, content(batch))
		d.Ack(batch, metric.Outcome{Delivered: batch.Count})
	}
	if ends(); len(acked) != len(r.feed.all) && (!full || len(acked)+overflow < len(r.feed.all)) {
		fail("%d of %d samples have come; %+v", len(acked), len(r.feed.all), r.b.Stats())
	}
	r.b.Close()
}
