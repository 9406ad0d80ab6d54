package buffer

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"headend-agent/internal/metric"
)

// Parts are what a buffer works with.
type Parts struct {
	Table   *metric.Table
	Log     *slog.Logger
	Runtime string // a directory on tmpfs for what a kill must not cost, as systemd gives in RUNTIME_DIRECTORY; may be ""
	FS      FS     // nil: the real one
	// Wall reads the wall clock, which may step; nil: time.Now. Intervals are measured by time.Now, which is monotonic.
	Wall func() time.Time
}

// Open makes a buffer, with all that an earlier process has left. It fails for a wrong configuration only: trouble with the
// disk is a mode.
func Open(cfg Config, p Parts) (*Buffer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Buffer{
		cfg: cfg, table: p.Table, log: p.Log, fs: p.FS, io: make(diskLock, 1), stop: make(chan struct{}), wake: make(chan struct{}, 1), live: map[metric.SourceID]int{},
		readers: map[string]*Reader{}, grown: make(chan struct{}), outdated: make(chan struct{}),
	}
	if b.fs == nil {
		b.fs = osFS{}
	}
	if b.wall = p.Wall; b.wall == nil {
		b.wall = time.Now
	}
	b.writer.pack = &b.pack
	b.opened = time.Now()
	b.disk.errors = map[string]uint64{}
	b.disk.mode = ModeDisk
	b.recover(p.Runtime)
	b.done.Add(1)
	go b.run()
	return b, nil
}

// recover takes in what is on disk and in the tail.
func (b *Buffer) recover(runtime string) {
	found := b.openDisk()
	b.segments, b.nextLap = found.segments, found.nextLap
	if n := len(b.segments); n > 0 {
		b.disk.end = b.segments[n-1].end()
	}
	rec := found.record
	b.book = newBook(found.book + 1)
	b.goOn()
	if !errors.Is(found.err, errInUse) {
		if t := b.openTail(runtime); t != nil {
			b.book.id = max(b.book.id, t.newestBook()+1)
			if r := t.cursors.read(); r.generation > rec.generation {
				rec = r
			}
			b.recoverTail(t)
			b.tail = t
		}
	}
	for _, c := range rec.cursors {
		b.next = max(b.next, c.live)
	}
	b.next = max(b.next, rec.next)
	if n := len(b.segments); n > 0 {
		b.next = max(b.next, b.segments[n-1].end())
	}
	if b.next == 0 && b.disk.ring == nil {
		// What is on disk may come to light later. Its numbers are lower than these.
		b.next = uint64(b.wall().UnixMilli()) << 20
	}
	b.disk.generation = max(found.record.generation, rec.generation)
	b.epochs, b.restored = rec.epochs, b.next
	if !slices.Equal(rec.epochs, found.record.epochs) {
		b.stamps++ // what the tail knows, a power cut must not cost either
	}
	b.dormant = rec.cursors
	if b.tail != nil {
		b.tailed(b.tail.rewrite(b.unsaved(), b.book, &b.pack, b.hot))
	}
}

// goOn lets the newest segment on disk take what comes, behind all that is valid there: were each start to begin a new slot, a
// crash loop would push the backlog out of the ring.
func (b *Buffer) goOn() {
	n := len(b.segments)
	if n == 0 || b.disk.mode != ModeDisk {
		return
	}
	s := b.segments[n-1]
	slot := b.disk.ring.slots[s.slot]
	if slot.bad {
		return
	}
	if err := slot.file.Sync(); err != nil { // a killed process may not have come to it
		b.count(err)
		slot.bad = true
		return
	}
	b.open = s
}

// found is what there is on disk.
type found struct {
	segments []*segment
	record   record
	nextLap  uint64
	book     uint32 // the greatest number of one
	err      error
}

// openDisk opens the directory and reads the headers in it.
func (b *Buffer) openDisk() (f found) {
	if b.cfg.Path == "" {
		b.toMemory(errors.New("no path is configured"))
		return f
	}
	r, err := openRing(b.fs, b.cfg.Path, int64(b.cfg.Size))
	f.err = err
	if r != nil {
		b.disk.ring = r
		f.scan(r, &b.disk.damaged, b.wall())
		c, cerr := openCursors(b.fs, cursorsName(r), r.write)
		if cerr == nil {
			b.disk.cursors = c
			f.record = c.read()
		} else if err == nil {
			err = cerr
		}
	}
	if err != nil {
		b.count(err)
		b.toMemory(err)
		return f
	}
	b.setMode(ModeDisk, nil)
	return f
}

// scan reads the headers of all slots and puts their segments in order.
func (f *found) scan(r *ring, damaged *uint64, wall time.Time) {
	for i, x := range r.slots {
		if x.file == nil {
			continue
		}
		frames, bad := scanSlot(x.file)
		*damaged += uint64(bad)
		s := &segment{slot: i}
		for _, fr := range frames {
			f.nextLap, f.book = max(f.nextLap, fr.lap+1), max(f.book, fr.book)
			s.lap = fr.lap
			if fr.kind == kindBook {
				s.dicts = append(s.dicts, fr)
			} else if len(s.blocks) == 0 || fr.seq >= s.end() {
				s.blocks, s.at = append(s.blocks, fr), append(s.at, arrived(fr.minMs, wall))
				s.samples += int(fr.samples)
			}
			s.used = fr.off + fr.room()
		}
		if len(s.blocks) > 0 {
			f.segments = append(f.segments, s)
		}
	}
	slices.SortFunc(f.segments, func(a, b *segment) int {
		if a.lap < b.lap {
			return -1
		}
		return 1
	})
	// A segment that moved is there twice in part: the newer one holds.
	for i := len(f.segments) - 1; i > 0; i-- {
		f.segments[i-1].cutFrom(f.segments[i].first())
		if len(f.segments[i-1].blocks) == 0 {
			f.segments = slices.Delete(f.segments, i-1, i)
		}
	}
	for _, s := range f.segments {
		r.slots[s.slot].held = true
	}
}

// arrived estimates when a round came whose time by the wall clock is ms: not later than now.
func arrived(ms int64, wall time.Time) time.Time {
	return time.Now().Add(-min(max(0, wall.Sub(time.UnixMilli(ms))), 30*24*time.Hour))
}

// reopenDisk takes in a directory that could not be written, or not even be read, until now. The caller holds b.io.
func (b *Buffer) reopenDisk() {
	r, err := openRing(b.fs, b.cfg.Path, int64(b.cfg.Size))
	if err != nil {
		if r != nil {
			r.close()
		}
		b.mu.Lock()
		b.count(err)
		b.mu.Unlock()
		return
	}
	c, err := openCursors(b.fs, cursorsName(r), true)
	if err != nil {
		r.close()
		return
	}
	var f found
	var damaged uint64
	f.scan(r, &damaged, b.wall())
	f.record = c.read()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.disk.cursors, b.disk.damaged = c, b.disk.damaged+damaged
	b.adopt(r, &f)
	b.setMode(ModeDisk, nil)
}

// adopt puts what was found on disk before what there is.
func (b *Buffer) adopt(r *ring, f *found) {
	if old := b.disk.ring; old != nil { // the same directory, which could be read only
		for _, s := range b.segments {
			if s.slot != noSlot {
				r.slots[s.slot].held = true
			}
		}
		b.disk.ring = r
		b.nextLap = max(b.nextLap, f.nextLap)
		return
	}
	b.disk.ring = r
	first := b.first()
	for i := len(f.segments) - 1; i >= 0; i-- {
		s := f.segments[i]
		if s.cutFrom(first); len(s.blocks) == 0 {
			r.slots[s.slot].held = false
			f.segments = slices.Delete(f.segments, i, i+1)
		}
	}
	b.segments = append(f.segments, b.segments...)
	b.nextLap = max(b.nextLap, f.nextLap)
	b.disk.generation = max(b.disk.generation, f.record.generation)
	b.adoptEpochs(f.record.epochs)
	if n := len(f.segments); n > 0 {
		b.disk.end = f.segments[n-1].end()
		for _, x := range b.readers {
			x.adopt(&f.record, f.segments[0].first(), b.disk.end)
		}
	}
	b.signal()
}

// Close ends the buffer's work: what is not delivered goes to disk, and the cursors with it. Readers see no more data.
func (b *Buffer) Close() error {
	close(b.stop)
	b.done.Wait()
	b.settle()
	b.commit(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tail != nil {
		if b.disk.mode != ModeMemory && len(b.unsaved()) == 0 {
			b.dropHot(len(b.hot))
			b.tailed(b.tail.restart(newBook(0)))
		}
		r := b.record()
		if b.tail != nil {
			b.tailed(b.tail.cursors.write(&r))
		}
		if b.tail != nil {
			b.tail.close()
			b.tail = nil
		}
	}
	if r := b.disk.ring; r != nil {
		r.close()
		b.disk.ring = nil
	}
	if b.disk.cursors != nil {
		b.disk.cursors.file.Close()
	}
	if b.disk.mode == ModeMemory && b.between(b.oldestPlace(), b.next) > 0 && len(b.readers) > 0 {
		return fmt.Errorf("close buffer: samples that are not delivered could not be written")
	}
	return nil
}

// settle takes back the batches of which the senders, which have stopped, know that they did not get through.
func (b *Buffer) settle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.readers {
		for i := range r.lanes {
			if l := &r.lanes[i]; l.refused {
				l.out = false
			}
		}
	}
}

func errnoName(e unix.Errno) string {
	if name := unix.ErrnoName(e); name != "" {
		return name
	}
	return fmt.Sprintf("errno %d", int(e))
}
