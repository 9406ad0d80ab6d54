package buffer

import (
	"bytes"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alecthomas/units"

	"headend-agent/internal/metric"
)

// safeText is a log that is written and read by different goroutines.
type safeText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// modeRig is a rig with a log to look at.
func modeRig(t *testing.T, fsys *memFS, size units.Base2Bytes) (*rig, *safeText) {
	var text safeText
	cfg := smallConfig("/disk")
	cfg.Size = size
	r := &rig{t: t, fs: fsys, cfg: cfg, table: metric.NewTable()}
	b, err := Open(cfg, Parts{Table: r.table, Log: slog.New(slog.NewTextHandler(&text, nil)), FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	r.b, r.feed = b, newFeed(r.table, 1000)
	r.feed.noisy = true
	return r, &text
}

func (r *rig) wantMode(m Mode) {
	r.t.Helper()
	if got := r.b.Stats().Mode; got != m {
		r.t.Fatalf("the buffer is in mode %s, want %s", got, m)
	}
}

func TestDiskFullMakesARingOfWhatFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newMemFS()
		var full atomic.Bool
		full.Store(true)
		fsys.fault = func(op, name string, _ int) error {
			if full.Load() && op == "reserve" && strings.Contains(name, "slot-0003") {
				return syscall.ENOSPC
			}
			return nil
		}
		r, text := modeRig(t, fsys, 8*units.MiB)
		d := r.b.Reader("a", Options{})
		for range 10 {
			r.append(100)
			r.commit()
		}
		r.wantMode(ModePartial)
		if s := r.b.Stats(); s.Slots != 3 || s.Errors["ENOSPC"] != 1 || strings.Count(text.String(), "no room") != 1 {
			t.Errorf("%d slots, errors %v, log:\n%s", s.Slots, s.Errors, text)
		}
		full.Store(false)
		time.Sleep(6 * time.Minute)
		for range 10 {
			r.append(100)
			r.commit()
		}
		r.wantMode(ModeDisk)
		got := r.drain(d, 40_000)
		r.accounted("a", 2_000_000)
		r.wantRounds(got, 2001-len(got)/1000, 2000)
		r.b.Close()
	})
}

func TestTroubleEndsByItself(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(op, name string) error
	}{
		{"read-only", func(op, _ string) error {
			if op != "read" && op != "readdir" && op != "lock" {
				return syscall.EROFS
			}
			return nil
		}},
		{"no permission", func(op, _ string) error { return syscall.EACCES }},
		{"all slots fail", func(op, name string) error {
			if op == "sync" && strings.Contains(name, "slot-") {
				return syscall.EIO
			}
			return nil
		}},
		{"no room at all", func(op, name string) error {
			if op == "reserve" && strings.Contains(name, "slot-") {
				return syscall.ENOSPC
			}
			return nil
		}},
	} {
		for _, early := range []bool{true, false} {
			if !early && c.name == "no room at all" {
				continue // there is room already
			}
			t.Run(c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					fsys := newMemFS()
					var broken atomic.Bool
					broken.Store(early)
					fsys.fault = func(op, name string, _ int) error {
						if broken.Load() {
							return c.fault(op, name)
						}
						return nil
					}
					r, text := modeRig(t, fsys, 8*units.MiB)
					r.feed = newFeed(r.table, 10)
					d := r.b.Reader("a", Options{})
					r.append(10)
					r.commit()
					broken.Store(true)
					for range 5 {
						r.append(10)
						r.commit()
					}
					r.wantMode(ModeMemory)
					time.Sleep(30 * time.Minute)
					r.append(10)
					r.commit()
					r.wantMode(ModeMemory)
					if n := strings.Count(text.String(), "nothing is written to disk"); n > 7 {
						t.Errorf("the log is flooded:\n%s", text)
					}
					broken.Store(false)
					time.Sleep(6 * time.Minute)
					r.commit()
					r.wantMode(ModeDisk)
					r.append(10)
					r.commit()
					r.b.kill()
					r.open() // what was in memory only is on disk by now
					d = r.b.Reader("a", Options{})
					r.wantRounds(r.drain(d, 333), 1, 80)
					r.b.Close()
				})
			})
		}
	}
}

func TestSecondAgentWorksInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newMemFS()
		r := newRig(t, fsys, smallConfig("/disk"), "/run")
		r.append(10)
		r.commit()
		second := newRig(t, fsys, smallConfig("/disk"), "/run")
		second.wantMode(ModeMemory)
		d := second.b.Reader("a", Options{})
		second.feed.startMs += 1000
		second.append(5)
		second.wantRounds(second.drain(d, 100), 1, 5)
		second.append(5)
		r.append(3)
		r.b.kill() // the first one dies; the second takes its data over
		time.Sleep(6 * time.Minute)
		second.wantMode(ModeDisk)
		for k, v := range r.feed.all {
			second.feed.all[k] = v
		}
		if got := second.drain(d, 1000); len(got) != 180 {
			t.Errorf("%d samples, want 130 of the dead agent and 50 of its own", len(got))
		}
		second.b.Close()
	})
}

func TestNewerVersionIsLeftAlone(t *testing.T) {
	fsys := newMemFS()
	fsys.files["/disk/v2/slot-0000"] = &memNode{}
	r := newRig(t, fsys, smallConfig("/disk"), "")
	r.append(10)
	r.commit()
	r.wantMode(ModeMemory)
	if n := fsys.writes("/disk"); n != 0 {
		t.Errorf("%d writes", n)
	}
	r.b.Close()
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	fsys := newMemFS()
	foreign := []string{"/disk/notes.txt", "/disk/v1/slot-1", "/disk/v1/slot-00001", "/disk/v1/slot-99999999999", "/disk/v1/slot-0001.bak"}
	for _, name := range foreign {
		fsys.files[name] = &memNode{data: []byte("mine"), dirty: map[int64]bool{}}
	}
	r := newRig(t, fsys, smallConfig("/disk"), "")
	d := r.b.Reader("a", Options{})
	r.append(10)
	r.commit()
	r.wantMode(ModeDisk)
	r.wantRounds(r.drain(d, 100), 1, 10)
	r.b.Close()
	for _, name := range foreign {
		if string(fsys.files[name].data) != "mine" {
			t.Errorf("%s has changed", name)
		}
	}
}

func TestSizeTooSmallForARing(t *testing.T) {
	r, text := modeRig(t, newMemFS(), 1*units.MiB)
	r.wantMode(ModeMemory)
	r.feed = newFeed(r.table, 10)
	d := r.b.Reader("a", Options{})
	r.append(10)
	r.wantRounds(r.drain(d, 100), 1, 10)
	if !strings.Contains(text.String(), "two slots") {
		t.Errorf("the log does not say why:\n%s", text)
	}
	r.b.Close()
}

func TestForgottenDestinationIsDroppedAfterAWeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemFS(), smallConfig("/disk"), "")
		r.b.Reader("a", Options{})
		r.b.Reader("b", Options{})
		r.append(10)
		r.b.Close()
		r.open()
		r.drain(r.b.Reader("a", Options{}), 100)
		if s := r.b.Stats(); s.Blocks == 0 {
			t.Error("what b has not got is gone after a restart without it")
		}
		r.b.Close()
		time.Sleep(8 * 24 * time.Hour)
		r.open()
		d := r.b.Reader("a", Options{}) // it is where it was, however long the machine was off
		r.append(1)
		r.wantRounds(r.drain(d, 100), 11, 11)
		time.Sleep(time.Hour)
		if s := r.b.Stats(); s.Blocks != 0 {
			t.Errorf("%d blocks are kept for b", s.Blocks)
		}
		r.b.Close()
	})
}

func TestCrashLoopKeepsTheBacklog(t *testing.T) {
	fsys := newMemFS()
	r := newRig(t, fsys, smallConfig("/disk"), "")
	for range 30 { // times a few blocks, in a ring of four slots
		r.b.Reader("a", Options{})
		r.append(10)
		r.commit()
		r.b.kill()
		r.open()
	}
	if n := len(fsys.files) - 2; n != 1 {
		t.Errorf("%d slots are in use", n)
	}
	r.wantRounds(r.drain(r.b.Reader("a", Options{}), 1000), 1, 300)
	r.b.Close()
}

func TestTailFailsAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newMemFS()
		var broken atomic.Bool
		fsys.fault = func(op, name string, _ int) error {
			if broken.Load() && op == "write" && strings.HasPrefix(name, "/run") {
				return syscall.ENOSPC
			}
			return nil
		}
		r := newRig(t, fsys, smallConfig("/disk"), "/run")
		r.b.Reader("a", Options{})
		r.append(10)
		broken.Store(true)
		r.append(10)
		if s := r.b.Stats(); s.Tail || s.Errors["ENOSPC"] == 0 {
			t.Errorf("%+v", s)
		}
		broken.Store(false)
		time.Sleep(6 * time.Minute)
		r.append(10)
		r.b.kill()
		r.open()
		r.wantRounds(r.drain(r.b.Reader("a", Options{}), 100), 1, 30)
		r.b.Close()
	})
}

// A million series come, are delivered and go: afterwards the buffer is as small as before.
func TestMillionSeries(t *testing.T) {
	r := newRig(t, newMemFS(), smallConfig("/disk"), "/run")
	d := r.b.Reader("a", Options{})
	heap := func() int {
		runtime.GC()
		runtime.GC() // the table's references are weak
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	churn := func(from, to int) {
		for i := from; i < to; i++ {
			m := metric.Round{Source: "churn", TimeMs: int64(i + 1)}
			for k := range 2000 {
				m.Series = append(m.Series, r.table.Intern(metric.LabelsOf("gone", "n", strconv.Itoa(i*2000+k)), nil))
				m.Values = append(m.Values, 1)
			}
			r.b.Append(m)
			if i%50 == 0 {
				r.commit()
			}
			batch := r.tryNext(d, 40_000)
			d.Ack(batch, metric.Outcome{Delivered: batch.Count})
		}
	}
	churn(0, 20)
	before := heap()
	churn(20, 500)
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("after a million series the heap is %d bytes larger", grown)
	}
	r.b.Close()
}
