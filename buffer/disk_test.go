package buffer

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alecthomas/units"

	"headend-agent/internal/metric"
)

// faults makes a file system fail while the switch is on.
func faults(fsys *memFS, fault func(op, name string) error) *atomic.Bool {
	var on atomic.Bool
	fsys.fault = func(op, name string, _ int) error {
		if on.Load() {
			return fault(op, name)
		}
		return nil
	}
	return &on
}

// bubble runs a test in virtual time, on a disk, with or without a WAL.
func bubble(t *testing.T, test func(t *testing.T, r *rig, fsys *memFS)) {
	for _, runtime := range []string{"", "/run"} {
		t.Run("runtime"+runtime, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fsys := newMemFS()
				r := newRig(t, fsys, smallConfig("/disk"), runtime)
				r.cfg.Size = 16 * units.MiB
				r.b.Close()
				fsys.move("/disk", "")
				r.open()
				defer func() { r.b.Close() }()
				test(t, r, fsys)
			})
		})
	}
}

// TestDiskFullAtTheFirstStart has a disk that is full before anything was made on it. When there is room, it is used.
func TestDiskFullAtTheFirstStart(t *testing.T) {
	for _, what := range []string{"mkdir", "lock", "cursors", "slot-"} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig, fsys *memFS) {
				r.b.Close()
				fsys.move("/disk", "")
				full := faults(fsys, func(op, name string) error {
					making := op == "mkdir" || op == "reserve" || op == "open for writing" && fsys.files[name] == nil
					if under("/disk", name) && making && (op == what || strings.Contains(name, what)) {
						return syscall.ENOSPC
					}
					return nil
				})
				full.Store(true)
				r.open()
				d := r.b.Reader("a", Options{LateAfter: time.Second})
				r.append(10)
				time.Sleep(20 * time.Minute)
				r.append(10)
				r.b.Restamp(metric.Timebase{Boot: 9, Epoch: 2})
				d.SetNote("note")
				r.commit()
				r.wantMode(ModeMemory)
				full.Store(false)
				time.Sleep(6 * time.Minute)
				r.wantMode(ModeDisk)
				r.commit()
				r.b.kill()
				r.open()
				d = r.b.Reader("a", Options{})
				r.wantRounds(r.drain(d, 1000), 1, 20)
				if d.Note() != "note" {
					t.Errorf("note %q", d.Note())
				}
			})
		})
	}
}

// TestReadOnlyAtTheStart has a disk that is writable only later. What is on it is read meanwhile.
func TestReadOnlyAtTheStart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, fsys *memFS) {
		r.b.Reader("a", Options{})
		r.append(10)
		r.b.Close()
		readOnly := faults(fsys, troubleOf("disk is read-only"))
		readOnly.Store(true)
		r.open()
		d := r.b.Reader("a", Options{})
		r.append(10)
		r.commit()
		r.wantMode(ModeMemory)
		got := content(r.tryNext(d, 50))
		if len(got) != 50 {
			t.Fatalf("%d samples of those on the disk", len(got))
		}
		d = r.b.Reader("a", Options{})
		time.Sleep(20 * time.Minute)
		readOnly.Store(false)
		time.Sleep(6 * time.Minute)
		r.wantMode(ModeDisk)
		r.append(10)
		r.commit()
		r.b.kill()
		r.open()
		r.wantRounds(r.drain(r.b.Reader("a", Options{}), 1000), 1, 30)
	})
}

func troubleOf(name string) func(op, name string) error {
	for _, x := range troubles {
		if x.name == name {
			return x.fault
		}
	}
	panic(name)
}

// TestUnreadableAtTheStart restarts while the directory cannot be read. Nothing counts as lost; when it can be read, all comes.
func TestUnreadableAtTheStart(t *testing.T) {
	for _, trouble := range []string{"disk denied", "disk fails", "disk cannot be read"} {
		for _, end := range []string{"stop", "kill"} {
			t.Run(trouble+", "+end, func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig, fsys *memFS) {
					d := r.b.Reader("a", Options{})
					r.append(60)
					got := r.tryNext(d, 90)
					acked := content(got)
					d.Ack(got, metric.Outcome{Delivered: got.Count})
					r.commit()
					broken := faults(fsys, troubleOf(trouble))
					if end == "stop" {
						r.b.Close()
					} else {
						r.b.kill()
						fsys.unlock()
					}
					broken.Store(true)
					r.open()
					d = r.b.Reader("a", Options{})
					r.append(5)
					r.commit()
					time.Sleep(40 * time.Minute)
					got = r.tryNext(d, 1000) // newer samples go on after a while
					if got == nil || got.Count != 50 {
						t.Fatalf("the batch is %+v", got)
					}
					for k, v := range content(got) {
						acked[k] = v
					}
					d.Ack(got, metric.Outcome{Delivered: got.Count})
					if s := r.b.Stats().Destinations["a"]; len(s.Dropped) != 0 {
						t.Errorf("dropped %v", s.Dropped)
					}
					broken.Store(false)
					time.Sleep(6 * time.Minute)
					r.wantRounds(mapsUnion(acked, r.drain(d, 1000)), 1, 65)
					r.wantNothingDamaged("a")
				})
			})
		}
	}
}

// TestDirectoryMoved moves the directory away under a buffer at work, deletes it, or puts another in its place. All that is in it can be
// read on; what is written meanwhile is where the next process finds it.
func TestDirectoryMoved(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration // until it is put back; 0: it is not
		to    string
		put   string // in its place
	}{
		{"away and back", 3 * time.Minute, "/elsewhere", ""},
		{"away, and back where another has come", 20 * time.Minute, "/elsewhere", ""},
		{"away", 0, "/elsewhere", ""},
		{"deleted", 0, "", ""},
		{"a copy in its place", 0, "/elsewhere", "copy"},
		{"an older copy in its place", 0, "/elsewhere", "older"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig, fsys *memFS) {
				d := r.b.Reader("a", Options{})
				r.append(20)
				r.commit()
				fsys.copy("/disk", "/older")
				r.append(20)
				r.commit()
				switch c.put {
				case "":
					fsys.move("/disk", c.to)
				case "copy":
					fsys.move("/disk", c.to)
					fsys.copy("/elsewhere", "/disk")
				case "older":
					fsys.move("/disk", c.to)
					fsys.copy("/older", "/disk")
				}
				r.append(20)
				r.commit()
				r.wantMode(ModeMemory)
				batch := r.tryNext(d, 130)
				acked := content(batch)
				d.Ack(batch, metric.Outcome{Delivered: batch.Count})
				if c.after > 0 {
					time.Sleep(c.after)
					fsys.move("/disk", "")
					fsys.move("/elsewhere", "/disk")
				}
				time.Sleep(6 * time.Minute)
				r.append(5) // so that the directory is looked at
				r.commit()
				time.Sleep(6 * time.Minute)
				r.wantMode(ModeDisk)
				r.commit()
				if s := r.b.Stats().Destinations["a"]; len(s.Dropped) != 0 {
					t.Errorf("dropped %v", s.Dropped)
				}
				r.b.kill()
				fsys.unlock()
				if c.to != "" {
					fsys.move(c.to, "")
				}
				r.open()
				r.wantRounds(mapsUnion(acked, r.drain(r.b.Reader("a", Options{}), 1000)), 1, 65)
				r.wantNothingDamaged("a")
			})
		})
	}
}

// TestForeignDirectoryIsLeftAlone puts the directory of another buffer in the place of ours.
func TestForeignDirectoryIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newMemFS()
		foreign := newRig(t, fsys, smallConfig("/foreign"), "")
		foreign.b.Reader("a", Options{})
		foreign.append(100)
		foreign.b.Close()
		r, text := modeRig(t, fsys, 8*units.MiB)
		r.feed = newFeed(r.table, 10)
		d := r.b.Reader("a", Options{})
		r.append(10)
		r.commit()
		fsys.move("/disk", "/elsewhere")
		fsys.move("/foreign", "/disk")
		r.append(10)
		r.commit()
		time.Sleep(time.Hour)
		r.wantMode(ModeMemory)
		if n := strings.Count(text.String(), "is left alone"); n != 1 {
			t.Errorf("%d lines say so:\n%s", n, text)
		}
		r.wantRounds(r.drain(d, 1000), 1, 20)
		r.b.Close()
		foreign.cfg.Path = "/disk"
		foreign.open()
		foreign.wantRounds(foreign.drain(foreign.b.Reader("a", Options{}), 1000), 1, 100)
		foreign.b.Close()
	})
}

// TestRestartWhileTheDirectoryIsElsewhere begins a new directory. When the old one is put back, what was in it comes.
func TestRestartWhileTheDirectoryIsElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newMemFS()
		r := newRig(t, fsys, smallConfig("/disk"), "/run")
		r.cfg.Size = 16 * units.MiB
		r.b.Reader("a", Options{})
		r.append(60)
		r.commit()
		r.b.Close()
		fsys.move("/disk", "/elsewhere")
		for range 3 {
			r.open()
			r.b.Reader("a", Options{})
			r.append(10)
			r.commit()
			r.b.kill()
			fsys.unlock()
		}
		r.open()
		d := r.b.Reader("a", Options{})
		got := r.drainFor(d, time.Minute)
		r.wantRounds(got, 61, 90)
		r.append(10)
		r.commit()
		fsys.move("/disk", "")
		fsys.move("/elsewhere", "/disk")
		time.Sleep(11 * time.Minute)
		r.wantRounds(mapsUnion(got, r.drain(d, 1000)), 1, 100)
		r.wantMode(ModeDisk)
		if s := r.b.Stats(); s.Damaged > 0 || len(s.Destinations["a"].Dropped) > 0 {
			t.Errorf("%+v", s)
		}
		r.b.Close()
	})
}

// drainFor drains what comes within a time.
func (r *rig) drainFor(d *Reader, limit time.Duration) map[sampleKey]float64 {
	got := map[sampleKey]float64{}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		batch, err := d.Next(ctx, metric.Limit{Samples: 1000})
		cancel()
		if err != nil {
			return got
		}
		r.take(batch, got)
		d.Ack(batch, metric.Outcome{Delivered: batch.Count})
	}
}

// onDisk makes a backlog that is on the disk only.
func (r *rig) onDisk(commits int) {
	for range commits {
		r.append(10)
		r.commit()
	}
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	for _, s := range r.b.segments {
		r.b.memory -= s.evict(false)
	}
	r.b.closeSegment()
}

// TestReadErrorsPass has a disk that cannot be read for a while. A destination that wants order holds newer samples back, for ten minutes
// at most; the other goes on at once. Nothing is lost.
func TestReadErrorsPass(t *testing.T) {
	for _, lasts := range []time.Duration{time.Second, 4 * time.Minute, 3 * time.Hour} {
		t.Run(lasts.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig, fsys *memFS) {
				broken := faults(fsys, troubleOf("disk cannot be read"))
				d, live := r.b.Reader("a", Options{}), r.b.Reader("live", Options{LiveFirst: true})
				r.onDisk(20)
				r.append(3)
				broken.Store(true)
				start := time.Now()
				go func() {
					time.Sleep(lasts)
					broken.Store(false)
				}()
				batch, err := live.Next(context.Background(), metric.Limit{Samples: 30, Lane: metric.Live})
				if err != nil || batch.Count != 30 || time.Since(start) > time.Second {
					t.Fatalf("%v: %+v after %s", err, batch, time.Since(start))
				}
				got := map[sampleKey]float64{}
				batch, err = d.Next(context.Background(), metric.Limit{Samples: 1000})
				if err != nil {
					t.Fatal(err)
				}
				waited := time.Since(start)
				if min(lasts, 10*time.Minute) > waited || waited > min(2*lasts+time.Minute, 11*time.Minute) {
					t.Errorf("the first batch came after %s", waited)
				}
				r.take(batch, got)
				inOrder := got[key(r.feed.series[1], r.feed.startMs+1)] != 0
				if inOrder != (lasts < 10*time.Minute) {
					t.Errorf("the first batch is of the oldest samples: %v", inOrder)
				}
				d.Ack(batch, metric.Outcome{Delivered: batch.Count})
				r.wantRounds(mapsUnion(got, r.drain(d, 1000)), 1, 203)
				if waited := time.Since(start); waited > lasts+2*retryAfter {
					t.Errorf("the last batch came after %s", waited)
				}
				r.accounted("a", 2030)
				r.accounted("live", 2030)
				r.wantNothingDamaged("a")
			})
		})
	}
}

// TestBadPlaceOnTheDisk cannot be read for ever. It costs what is there, a day later, and holds up nothing else for long.
func TestBadPlaceOnTheDisk(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, fsys *memFS) {
		r.onDisk(1)
		r.b.closeSegment()
		d := r.b.Reader("a", Options{})
		r.onDisk(10)
		broken := faults(fsys, func(op, name string) error {
			if op == "read" && strings.HasSuffix(name, "slot-0000") {
				return syscall.EIO
			}
			return nil
		})
		broken.Store(true)
		start := time.Now()
		got := map[sampleKey]float64{}
		for len(got) < 1000 {
			batch, err := d.Next(context.Background(), metric.Limit{Samples: 1000})
			if err != nil {
				t.Fatal(err)
			}
			r.take(batch, got)
			d.Ack(batch, metric.Outcome{Delivered: batch.Count})
		}
		r.wantRounds(got, 11, 110)
		if waited := time.Since(start); waited > 12*time.Minute {
			t.Errorf("the rest came after %s", waited)
		}
		if n := r.b.Stats().Rounds; n != 0 {
			t.Errorf("%d rounds are kept in memory", n)
		}
		if late := r.b.Stats().Destinations["a"].Late; late {
			t.Error("the destination is late for what cannot be read")
		}
		ctx, cancel := context.WithTimeout(context.Background(), 25*time.Hour)
		defer cancel()
		if batch, err := d.Next(ctx, metric.Limit{Samples: 1000}); err == nil {
			t.Fatalf("%d samples come of a bad place", batch.Count)
		}
		if s := r.b.Stats().Destinations["a"]; s.Dropped["unreadable"] != 100 || s.Pending != 0 {
			t.Errorf("%+v", s)
		}
		r.accounted("a", 1100)
	})
}

// mortalFS is a file system whose open files can be made fail for ever, as those of a device that has gone.
type mortalFS struct {
	*memFS
	died atomic.Int64
}

type mortalFile struct {
	File
	fs   *mortalFS
	born int64
}

func (m *mortalFS) Open(name string, write, create bool) (File, error) {
	f, err := m.memFS.Open(name, write, create)
	if err != nil || !under("/disk", name) {
		return f, err
	}
	return mortalFile{f, m, m.died.Load()}, nil
}

func (f mortalFile) err() error {
	if f.born < f.fs.died.Load() {
		return &fs.PathError{Op: "use", Path: "slot", Err: syscall.ENODEV}
	}
	return nil
}

func (f mortalFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.err(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f mortalFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.err(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f mortalFile) Sync() error {
	if err := f.err(); err != nil {
		return err
	}
	return f.File.Sync()
}

// TestDeviceComesBackAsAnother unplugs the disk and mounts it anew: every file that was open is dead.
func TestDeviceComesBackAsAnother(t *testing.T) {
	for _, locked := range []bool{true, false} { // by the kernel, still, for the dead file
		synctest.Test(t, func(t *testing.T) {
			fsys := &mortalFS{memFS: newMemFS()}
			r := newRig(t, fsys, smallConfig("/disk"), "/run")
			d := r.b.Reader("a", Options{})
			r.onDisk(10)
			fsys.died.Add(1)
			if !locked {
				fsys.files["/disk/v1/lock"].locked = false
			}
			batch := r.tryNext(d, 100)
			got := content(batch)
			d.Ack(batch, metric.Outcome{Delivered: batch.Count})
			r.append(10)
			r.commit()
			time.Sleep(12 * time.Minute)
			r.wantMode(ModeDisk)
			r.append(10)
			r.commit()
			r.b.kill()
			fsys.unlock()
			r.open()
			r.wantRounds(mapsUnion(got, r.drain(r.b.Reader("a", Options{}), 1000)), 1, 120)
			r.wantNothingDamaged("a")
			r.b.Close()
		})
	}
}

// TestSmallerRing makes the ring smaller. Slots beyond its size are read out, and their files go.
func TestSmallerRing(t *testing.T) {
	for _, delivered := range []bool{true, false} {
		t.Run(fmt.Sprint(delivered), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fsys := newMemFS()
				r, text := modeRig(t, fsys, 12*units.MiB)
				d := r.b.Reader("a", Options{})
				for range 12 {
					r.append(100)
					r.commit()
				}
				slots := func() (n int) {
					for name := range fsys.files {
						if strings.Contains(name, "slot-") {
							n++
						}
					}
					return n
				}
				r.b.Close()
				before := slots()
				if before < 8 {
					t.Fatalf("%d slots", before)
				}
				r.cfg.Size = 3 * units.MiB
				r.log = text
				r.open()
				d = r.b.Reader("a", Options{})
				if n, _ := d.Pending(); n != 1_200_000 {
					t.Errorf("%d samples are pending", n)
				}
				if n := strings.Count(text.String(), "the ring is smaller than it was"); n != 1 {
					t.Errorf("%d lines say so", n)
				}
				got := map[sampleKey]float64{}
				if delivered {
					got = r.drain(d, 40_000)
					r.wantRounds(got, 1, 1200)
				} else {
					for range 10 {
						r.append(100)
						r.commit()
					}
				}
				r.commit()
				time.Sleep(time.Minute)
				if n := slots(); n != 3 {
					t.Errorf("%d slots of %d are left", n, before)
				}
				got = mapsUnion(got, r.drain(d, 40_000))
				r.accounted("a", r.feed.rounds*1000)
				r.b.Close()
				r.open()
				r.append(10)
				r.wantRounds(r.drain(r.b.Reader("a", Options{}), 40_000), r.feed.rounds-9, r.feed.rounds)
				r.b.Close()
			})
		})
	}
}
