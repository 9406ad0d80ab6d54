package buffer

import (
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alecthomas/units"

	"headend-agent/internal/metric"
)

// trials is how often the random tests go; make fuzz asks for many more.
func trials(t *testing.T, usual int) int {
	if n, err := strconv.Atoi(os.Getenv("BUFFER_TRIALS")); err == nil {
		return n
	}
	if testing.Short() {
		return usual / 10
	}
	return usual
}

// witness knows what a buffer has promised.
type witness struct {
	*rig
	rand   *rand.Rand
	synced map[sampleKey]bool // on disk, and not acknowledged
	acked  map[sampleKey]bool
	since  int64 // time of the last round before the last crash
}

func newWitness(t *testing.T, seed uint64, fsys *memFS) *witness {
	r := rand.New(rand.NewPCG(seed, 5))
	cfg := smallConfig("/disk")
	return &witness{
		rig: newRig(t, fsys, cfg, ""), rand: r,
		synced: map[sampleKey]bool{}, acked: map[sampleKey]bool{},
	}
}

// work appends, commits and delivers at random.
func (w *witness) work(d *Reader) {
	for range 2 + w.rand.IntN(12) {
		switch w.rand.IntN(4) {
		case 0:
			w.commit()
			if w.b.Stats().Mode != ModeDisk {
				break
			}
			for k := range w.feed.all {
				if !w.acked[k] && k.ms > w.since {
					w.synced[k] = true
				}
			}
		case 1:
			got := map[sampleKey]float64{}
			if batch := w.tryNext(d, 1+w.rand.IntN(100)); batch != nil {
				w.take(batch, got)
				d.Ack(batch, metric.Outcome{Delivered: batch.Count})
			}
			for k := range got {
				w.acked[k] = true
				delete(w.synced, k)
			}
		default:
			w.append(1 + w.rand.IntN(10))
		}
	}
}

// check drains what is left after a crash: no sample may be wrong, none that was synced may be missing.
func (w *witness) check(d *Reader, got map[sampleKey]float64) {
	w.t.Helper()
	for k := range got {
		delete(w.synced, k)
		w.acked[k] = true
	}
	if len(w.synced) > 0 {
		w.t.Fatalf("%d samples that were synced are lost", len(w.synced))
	}
}

func TestPowerCuts(t *testing.T) {
	for trial := range trials(t, 150) {
		t.Run(strconv.Itoa(trial), func(t *testing.T) {
			fsys := newMemFS()
			w := newWitness(t, uint64(trial), fsys)
			for range 4 {
				d := w.b.Reader("a", Options{})
				w.work(d)
				after := fsys.crash(w.rand)
				w.b.kill()
				w.since = w.feed.startMs + int64(w.feed.rounds)
				fsys = after
				w.fs = fsys
				w.open()
				if mode := w.b.Stats().Mode; mode != ModeDisk {
					t.Fatalf("after a crash the buffer is in mode %s", mode)
				}
				d = w.b.Reader("a", Options{})
				if w.rand.IntN(2) == 0 {
					w.check(d, w.drain(d, 1+w.rand.IntN(200)))
				}
			}
			w.b.Close()
		})
	}
}

// One destination is late, so all goes to disk; a power cut does not send the other one what it has got long before.
func TestPowerCutRepeatsNothingForAHealthyDestination(t *testing.T) {
	for _, runtime := range []string{"", "/run"} {
		synctest.Test(t, func(t *testing.T) {
			fsys := newMemFS()
			r := newRig(t, fsys, smallConfig("/disk"), runtime)
			late := Options{LateAfter: time.Second}
			r.b.Reader("late", late)
			healthy := r.b.Reader("healthy", late)
			const rounds = 30
			for range rounds {
				r.append(1)
				r.drain(healthy, 1000)
				time.Sleep(10 * time.Second)
			}
			time.Sleep(2 * time.Duration(r.cfg.CommitInterval))
			r.fs = fsys.crash(rand.New(rand.NewPCG(1, 1)))
			r.b.kill()
			r.open()
			defer r.b.Close()
			if n, _ := r.b.Reader("healthy", late).Pending(); n > 0 {
				t.Errorf("runtime %q: %d samples come again", runtime, n)
			}
			if n, _ := r.b.Reader("late", late).Pending(); n == 0 {
				t.Errorf("runtime %q: nothing is left for the other one", runtime)
			}
		})
	}
}

// TestPowerCutsOfAFullRing looks for wrong samples only: what is overwritten is lost rightly.
func TestPowerCutsOfAFullRing(t *testing.T) {
	for trial := range trials(t, 15) {
		fsys := newMemFS()
		r := rand.New(rand.NewPCG(uint64(trial), 6))
		cfg := smallConfig("/disk")
		cfg.Size = 2 * units.MiB
		g := newRig(t, fsys, cfg, "")
		g.feed = newFeed(g.table, 1000)
		g.feed.noisy = true
		for range 3 {
			g.b.Reader("a", Options{})
			for range 1 + r.IntN(8) {
				g.append(60)
				g.commit()
			}
			fsys = fsys.crash(r)
			g.b.kill()
			g.fs = fsys
			g.open()
		}
		if mode := g.b.Stats().Mode; mode != ModeDisk {
			t.Fatalf("trial %d: mode %s", trial, mode)
		}
		g.drain(g.b.Reader("a", Options{}), 40_000)
		g.b.Close()
	}
}

// TestNthOperationFails lets one operation of the file system fail, each in its turn: nothing may be lost by that.
func TestNthOperationFails(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EROFS} {
		for n, failed := 1, true; failed; n++ {
			fsys := newMemFS()
			failed = false
			write := false
			fsys.fault = func(op, _ string, i int) error {
				if i != n {
					return nil
				}
				failed, write = true, op == "write" || op == "sync" || op == "reserve"
				return errno
			}
			r := newRig(t, fsys, smallConfig("/disk"), "/run")
			d := r.b.Reader("a", Options{})
			got := map[sampleKey]float64{}
			for range 3 {
				r.append(10)
				r.commit()
				r.append(3)
				if batch := r.tryNext(d, 47); batch != nil {
					r.take(batch, got)
					d.Ack(batch, metric.Outcome{Delivered: batch.Count})
				}
			}
			if len(r.b.Stats().Errors) == 0 && write {
				t.Fatalf("%v at operation %d is not counted", errno, n)
			}
			maps.Copy(got, r.drain(d, 1000))
			r.wantRounds(got, 1, 39)
			r.b.Close()
		}
	}
}

// TestFromNthOperationOnAllFail breaks the disk for good. The process goes on with what fits into memory.
func TestFromNthOperationOnAllFail(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EROFS} {
		for n := 1; n < 90; n++ {
			fsys := newMemFS()
			fsys.fault = func(op, name string, i int) error {
				if i < n || op == "read" || len(name) > 4 && name[:4] == "/run" {
					return nil
				}
				return errno
			}
			r := newRig(t, fsys, smallConfig("/disk"), "/run")
			d := r.b.Reader("a", Options{})
			for range 5 {
				r.append(10)
				r.commit()
			}
			r.wantRounds(r.drain(d, 77), 1, 50)
			r.append(10)
			r.b.Close()
			fsys.fault = nil
			r.open() // the disk is well again; what the tail has kept comes with it
			r.wantRounds(r.drain(r.b.Reader("a", Options{}), 77), 51, 60)
			r.b.Close()
		}
	}
}

func TestFailedSyncMovesTheData(t *testing.T) {
	fsys := newMemFS()
	fails := 0
	fsys.fault = func(op, name string, _ int) error {
		if op == "sync" && name == "/disk/v1/slot-0000" && fails > 0 {
			fails--
			return syscall.EIO
		}
		return nil
	}
	r := newRig(t, fsys, smallConfig("/disk"), "")
	r.b.Reader("a", Options{})
	r.append(10)
	r.commit()
	r.append(10)
	fails = 1
	r.commit()
	r.append(10)
	r.commit()
	if s := r.b.Stats(); s.Mode != ModeDisk || s.Errors["EIO"] != 1 {
		t.Errorf("%+v", s)
	}
	after := fsys.crash(rand.New(rand.NewPCG(1, 1)))
	r.b.kill()
	r.fs = after
	r.open()
	r.wantRounds(r.drain(r.b.Reader("a", Options{}), 1000), 1, 30)
	r.b.Close()
}

func TestWritesOfTheSameDataAreNotRepeated(t *testing.T) {
	fsys := newMemFS()
	r := newRig(t, fsys, smallConfig("/disk"), "")
	r.b.Reader("a", Options{})
	for range 10 {
		r.append(10)
		r.commit()
	}
	before := fsys.writes("/disk")
	r.commit()
	r.commit()
	if n := fsys.writes("/disk") - before; n != 0 {
		t.Errorf("%d writes for nothing new", n)
	}
	r.b.Close()
}
