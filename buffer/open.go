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

// recover takes in what is on disk and in the WAL.
func (b *Buffer) recover(runtime string) {
	f, err := b.openDisk()
	var t *tail
	var logged record
	if errors.Is(err, errInUse) {
		b.tailDir, b.tailUnread = tailDir(b.fs, runtime, b.cfg.Path), true // the other agent has it, too
	} else {
		t, logged = b.openTail(runtime)
	}
	b.loadDisk(&f)
	if !b.tailUnread {
		b.resume()
	}
	b.loadTail(&f, t, logged)
	b.restored = b.next
	if !slices.Equal(b.record.epochs, f.record.epochs) {
		b.stamps++ // what the WAL knows, a power cut must not cost either
	}
	b.epochs, b.dormant, b.disk.generation = b.record.epochs, slices.Clone(b.record.cursors), b.record.generation
	markInactive(b.dormant)
	switch {
	case b.disk.ring == nil && b.cfg.Path != "":
		b.leaveRoom(max(b.next, provisional))
	case b.tailUnread:
		b.leaveRoom(b.next + beyondUnread)
	}
	if b.tail = t; t != nil {
		b.rewriteTail()
		b.noteRecord()
	}
}

// leaveRoom goes on with a number that leaves room for those of samples that cannot be read now.
func (b *Buffer) leaveRoom(next uint64) {
	if b.next == next { // the process before could not read them either
		b.past = b.record.past
		return
	}
	b.past, b.next = b.next, next
	for i := range b.dormant {
		c := &b.dormant[i]
		c.gaps = c.gaps.add(span{c.live, b.past})
		c.live = b.next
	}
}

// resume lets the newest segment on disk take what comes, behind all that is valid there: were each start to begin a new slot, a
// crash loop would push the backlog out of the ring.
func (b *Buffer) resume() {
	n := len(b.segments)
	if n == 0 || b.disk.mode != ModeDisk {
		return
	}
	s := b.segments[n-1]
	if s.slot.bad || s.slot.index >= b.disk.ring.max {
		return
	}
	if err := s.slot.file.Sync(); err != nil { // a killed process may not have come to it
		b.count(err)
		s.slot.bad = true
		return
	}
	b.open = s
}

// openDisk opens the directory and reads the headers in it. The error is why it is not written.
func (b *Buffer) openDisk() (f found, err error) {
	if b.cfg.Path == "" {
		b.toMemory(errors.New("no path is configured"))
		return f, nil
	}
	if b.disk.ring, f, err = openRing(b.fs, b.cfg.Path, int64(b.cfg.Size), b.wall(), false); err != nil {
		b.count(err)
		b.toMemory(err)
		return f, err
	}
	b.useDisk()
	return f, nil
}

// useDisk goes on with the directory, which is open for writing.
func (b *Buffer) useDisk() {
	r := b.disk.ring
	b.disk.full, b.disk.bad, b.disk.opens, b.disk.alien = false, 0, 0, false
	surplus := 0
	for _, x := range r.slots[min(r.max, len(r.slots)):] {
		if x.file != nil {
			surplus++
		}
	}
	if surplus > 0 {
		b.log.Info("buffer: the ring is smaller than it was; slots beyond its size go when what they hold is delivered or overwritten", "slots", surplus)
	}
	b.setMode(ModeDisk, nil)
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
		b.closeTail()
	}
	b.closeRings()
	if b.disk.mode == ModeMemory && len(b.readers) > 0 && b.oldestPlace() < b.next {
		return fmt.Errorf("close buffer: samples that are not delivered could not be written")
	}
	return nil
}

func (b *Buffer) closeTail() {
	if b.disk.mode != ModeMemory && len(b.unsaved()) == 0 {
		b.dropHot(len(b.hot))
		b.tailed(b.tail.cut(newBook(0)))
	}
	r := b.newRecord()
	if err := b.tail.cursors.write(&r); err != nil {
		b.tailed(err)
	}
	b.tail.close()
	b.tail = nil
}

func (b *Buffer) closeRings() {
	if b.disk.ring != nil {
		b.disk.ring.close()
	}
	for _, r := range b.stranded {
		r.close()
	}
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
