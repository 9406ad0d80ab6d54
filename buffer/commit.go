package buffer

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Mode is how much of the buffer survives what.
type Mode string

// Modes.
const (
	ModeDisk    Mode = "disk"    // all is well
	ModePartial Mode = "partial" // a ring of the slots that fit
	ModeMemory  Mode = "memory"  // nothing gets to a disk
)

// diskState is what the buffer knows about its directory.
type diskState struct {
	ring    *ring // nil: not even readable
	cursors *cursorFile
	mode    Mode
	full    bool // no more slots can be made
	bad     int  // slots that failed
	retry   time.Time

	lateSince, lastCommit, lastCursors time.Time
	end                                uint64 // number after that of the newest sample on disk
	places                             uint64 // where the destinations are, as the disk has it
	generation                         uint64 // of records
	errors                             map[string]uint64
	commits, damaged, bytes            uint64
}

const (
	retryAfter  = 5 * time.Minute
	maxBadSlots = 3
	checkEvery  = time.Second
	forgetAfter = 7 * 24 * time.Hour
	settling    = 10 * time.Minute // from the start on, for destinations to be configured again
)

// run writes to disk when that is due.
func (b *Buffer) run() {
	defer b.done.Done()
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-tick.C:
			now := time.Now()
			b.mu.Lock()
			b.expire(now)
			due, again := b.due(now), b.disk.mode != ModeDisk && now.After(b.disk.retry)
			b.mu.Unlock()
			if again {
				b.tryAgain(now)
			}
			if due {
				b.commit(false)
			}
		case <-b.wake:
			b.commit(false)
		}
	}
}

// expire drops cursors of destinations that have not been configured for long.
func (b *Buffer) expire(now time.Time) {
	if len(b.dormant) == 0 || now.Sub(b.opened) < settling {
		return
	}
	b.dormant = slices.DeleteFunc(b.dormant, func(c cursor) bool {
		old := now.Sub(time.Unix(c.seen, 0)) > forgetAfter
		if old {
			b.log.Info("buffer: a destination was not configured for a week; its place is forgotten", "destination", c.name)
		}
		return old
	})
	if len(b.dormant) == 0 {
		b.release()
	}
}

func (b *Buffer) wakeUp() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// due tells whether the disk is to be written. While no destination is late it is not.
func (b *Buffer) due(now time.Time) bool {
	if b.disk.mode == ModeMemory {
		return false
	}
	interval := time.Duration(b.cfg.CommitInterval)
	late := false
	for _, r := range b.readers {
		late = late || r.isLate(now)
	}
	if !late {
		b.disk.lateSince = time.Time{}
		return b.cursorsDue() && now.Sub(b.disk.lastCursors) >= interval
	}
	if b.disk.lateSince.IsZero() {
		b.disk.lateSince = now
	}
	return now.Sub(b.disk.lateSince) >= interval && now.Sub(b.disk.lastCommit) >= interval
}

// cursorsDue tells whether the record on disk would let samples that are there be sent again.
func (b *Buffer) cursorsDue() bool { return b.places() != b.disk.places }

// places sums up where the destinations are in what is on disk.
func (b *Buffer) places() (sum uint64) {
	for _, r := range b.readers {
		sum += min(r.oldest(), b.disk.end)
	}
	return sum
}

// oldestPlace is where the slowest destination is. Without any, nothing is done with.
func (b *Buffer) oldestPlace() uint64 {
	if len(b.readers) == 0 {
		return b.first()
	}
	least := b.next
	for _, r := range b.readers {
		least = min(least, r.oldest())
	}
	return least
}

// commit brings all that is not acknowledged to disk, and the cursors. Only one goroutine at a time does so; the buffer goes on
// meanwhile.
func (b *Buffer) commit(all bool) {
	b.io.Lock()
	defer b.io.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	late := all || !b.disk.lateSince.IsZero() || 2*b.memory > int(b.cfg.Memory)
	if late && b.disk.mode != ModeMemory {
		b.disk.lastCommit = now
		if b.oldestPlace() < b.next {
			b.seal()
		}
		for b.disk.mode != ModeMemory && b.commitSegment() {
		}
		b.trimTail()
	}
	if b.disk.mode != ModeMemory && (all || b.cursorsDue()) {
		b.disk.lastCursors = now
		if err := b.syncCursors(); err != nil {
			b.count(err)
			b.toMemory(err)
		}
	}
}

// commitSegment writes what is not yet on disk of the oldest segment that has such. It gives b.mu up meanwhile.
func (b *Buffer) commitSegment() bool {
	i := slices.IndexFunc(b.segments, func(s *segment) bool { return !s.saved() })
	if i < 0 {
		return false
	}
	s := b.segments[i]
	if s.slot == noSlot && !b.takeSlot(s) {
		return false
	}
	var frames []frame
	for _, list := range [][]frame{s.dicts, s.blocks} {
		for _, f := range list {
			if !f.saved {
				frames = append(frames, f)
			}
		}
	}
	file := b.disk.ring.slots[s.slot].file
	b.mu.Unlock()
	n, err := writeFrames(file, frames)
	b.mu.Lock()
	b.disk.bytes += uint64(n)
	if err != nil {
		b.slotFailed(s, err)
		return true
	}
	b.disk.commits++
	for _, f := range frames {
		for _, list := range [][]frame{s.dicts, s.blocks} {
			for i := range list {
				if list[i].off == f.off {
					list[i].saved = true
				}
			}
		}
		b.disk.end = max(b.disk.end, f.end())
	}
	return true
}

// writeFrames writes frames to their places, neighbours at once, and syncs them.
func writeFrames(file File, frames []frame) (n int64, err error) {
	slices.SortFunc(frames, func(a, b frame) int { return int(a.off - b.off) })
	var buf []byte
	for i := range frames {
		f := &frames[i]
		at := len(buf)
		buf = append(buf, make([]byte, f.room())...)
		f.put(buf[at:])
		copy(buf[at+headerSize:], f.payload)
		if i+1 < len(frames) && frames[i+1].off == f.off+f.room() {
			continue
		}
		if _, err := file.WriteAt(buf, f.off+f.room()-int64(len(buf))); err != nil {
			return n, fmt.Errorf("write frame: %w", err)
		}
		n += int64(len(buf))
		buf = buf[:0]
	}
	if err := file.Sync(); err != nil {
		return n, fmt.Errorf("sync frames: %w", err)
	}
	return n, nil
}

// takeSlot finds a slot for a segment: a free one, a new one, or that of the oldest segment, whose data goes.
func (b *Buffer) takeSlot(s *segment) bool {
	r := b.disk.ring
	slot := slices.IndexFunc(r.slots, func(x *slot) bool { return x.file != nil && !x.held && !x.bad })
	if slot >= r.max { // the configured size has become less
		slot = -1
	}
	for i := 0; slot < 0 && i < r.max && !b.disk.full; i++ {
		if x := r.slot(i); x.file != nil || x.bad {
			continue
		}
		b.mu.Unlock()
		err := r.make(i)
		b.mu.Lock()
		if err != nil {
			if !b.makeFailed(err) {
				return false
			}
			break
		}
		slot = i
		if b.disk.mode == ModePartial {
			b.setMode(ModeDisk, nil)
		}
	}
	if slot < 0 {
		i := slices.IndexFunc(b.segments, func(x *segment) bool { return x.slot != noSlot && x != s && !r.slots[x.slot].bad })
		if i < 0 {
			b.toMemory(errors.New("no slot is left"))
			return false
		}
		slot = b.segments[i].slot
		b.remove(b.segments[i])
	}
	r.slots[slot].held = true
	s.place(slot, b.nextLap)
	b.nextLap++
	return true
}

// makeFailed judges why a slot could not be made. It is true where the ring goes on with those that there are.
func (b *Buffer) makeFailed(err error) bool {
	b.count(err)
	usable := b.disk.ring.usable()
	if !(errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) || usable < 2 {
		b.toMemory(err)
		return false
	}
	b.disk.full = true
	b.disk.retry = time.Now().Add(retryAfter)
	b.setMode(ModePartial, fmt.Errorf("a ring of %d MiB instead of %d: %w", usable, b.disk.ring.max, err))
	return true
}

// slotFailed gives a slot up after an error. Nobody can tell what of the last write is on disk, so it is written anew elsewhere.
func (b *Buffer) slotFailed(s *segment, err error) {
	b.count(err)
	b.log.Warn("a slot of the buffer fails and is left alone", "slot", slotName(s.slot), "error", err)
	b.disk.ring.slots[s.slot].bad = true
	b.disk.bad++
	b.move(s)
	if b.disk.bad >= maxBadSlots {
		b.toMemory(err)
	}
}

// move takes the end of a segment that is not on disk out of its slot, with the blocks of the chain that it needs.
func (b *Buffer) move(s *segment) {
	i := slices.IndexFunc(s.blocks, func(f frame) bool { return !f.saved })
	at := slices.Index(b.segments, s)
	if i < 0 || at < 0 {
		return
	}
	i = s.key(i)
	moved := &segment{slot: noSlot, book: s.book, written: s.written}
	for _, f := range s.dicts {
		if f.payload != nil { // else it is of blocks that stay
			f.saved = false
			moved.add(f, time.Time{})
		}
	}
	for k, f := range s.blocks[i:] {
		f.saved = false
		moved.add(f, s.at[i+k])
	}
	if b.open == s {
		b.open = moved
	}
	s.blocks, s.at = slices.Clip(s.blocks[:i]), slices.Clip(s.at[:i])
	s.samples -= moved.samples
	if i == 0 {
		b.disk.ring.slots[s.slot].held = false
		b.segments[at] = moved
		return
	}
	s.dicts = slices.Clone(s.dicts)
	for i := range s.dicts {
		s.dicts[i].payload = nil
	}
	b.segments = slices.Insert(b.segments, at+1, moved)
}

// syncCursors writes the record to disk. It gives b.mu up meanwhile.
func (b *Buffer) syncCursors() error {
	r, places := b.record(), b.places()
	b.mu.Unlock()
	err := b.disk.cursors.write(&r)
	if err == nil {
		err = b.disk.cursors.file.Sync()
	}
	b.mu.Lock()
	if err == nil {
		b.disk.places = places
	}
	return err
}

// toMemory gives the disk up for a while.
func (b *Buffer) toMemory(err error) {
	b.disk.retry = time.Now().Add(retryAfter)
	b.setMode(ModeMemory, err)
}

func (b *Buffer) setMode(m Mode, why error) {
	if b.disk.mode == m {
		return
	}
	b.disk.mode = m
	switch m {
	case ModeDisk:
		b.log.Info("buffer: the disk is in use", "path", b.cfg.Path)
	case ModePartial:
		b.log.Warn("buffer: the disk has no room for the whole ring", "path", b.cfg.Path, "error", why)
	case ModeMemory:
		b.log.Warn("buffer: nothing is written to disk; what is not delivered is in memory only", "path", b.cfg.Path, "error", why, "retry", retryAfter)
	}
}

// tryAgain tries the disk after trouble.
func (b *Buffer) tryAgain(now time.Time) {
	b.io.Lock()
	defer b.io.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.disk.retry = now.Add(retryAfter)
	r := b.disk.ring
	if r == nil || !r.write {
		b.mu.Unlock()
		b.reopenDisk()
		b.mu.Lock()
		return
	}
	b.disk.full = false
	if b.disk.mode != ModeMemory {
		return
	}
	for _, x := range r.slots {
		x.bad = false
	}
	b.disk.bad = 0
	err := b.syncCursors()
	for i := 0; err == nil && r.usable() < 2; i++ {
		if r.slot(i).file == nil {
			b.mu.Unlock()
			err = r.make(i)
			b.mu.Lock()
		}
	}
	if err != nil {
		b.count(err)
		return
	}
	b.setMode(ModeDisk, nil)
}

// count counts an error by its number.
func (b *Buffer) count(err error) {
	name := "other"
	var errno syscall.Errno
	if errors.As(err, &errno) {
		name = errnoName(errno)
	}
	b.disk.errors[name]++
}

// saveCursors keeps the record where a kill does not reach it: in the tail. Without a tail it goes to the disk, while samples that
// are there are being sent; at other times that would cost writes for nothing. It gives b.mu up where it writes to the disk.
func (b *Buffer) saveCursors() {
	if b.tail != nil {
		r := b.record()
		b.tailed(b.tail.cursors.write(&r))
		return
	}
	if b.disk.mode == ModeMemory || b.oldestPlace() >= b.disk.end && !b.cursorsDue() {
		return
	}
	r, places := b.record(), b.places()
	b.mu.Unlock()
	err := b.disk.cursors.write(&r)
	b.mu.Lock()
	if err != nil {
		b.count(err)
		b.toMemory(err)
		return
	}
	b.disk.places = places
}

// record says where everybody is.
func (b *Buffer) record() record {
	b.disk.generation++
	r := record{generation: b.disk.generation, next: b.next, epochs: slices.Clone(b.epochs), cursors: slices.Clone(b.dormant)}
	now := time.Now().Unix()
	for _, x := range b.readers {
		r.cursors = append(r.cursors, x.cursor(now))
	}
	return r
}

// tailed notes the outcome of a write to the tail: with an error there is no tail any more.
func (b *Buffer) tailed(err error) {
	if err == nil || b.tail == nil {
		return
	}
	b.count(err)
	b.log.Warn("buffer: the tail fails; a kill may cost what is not delivered", "directory", b.tail.dir, "error", err)
	b.tail.close()
	b.tail = nil
}

// trimTail cuts off the tail what is acknowledged or on disk.
func (b *Buffer) trimTail() {
	t := b.tail
	if t == nil {
		return
	}
	var unsaved []*segment
	live, hot := 0, b.hot
	for _, s := range b.segments {
		if !s.saved() {
			unsaved = append(unsaved, s)
			for _, list := range [][]frame{s.dicts, s.needed()} {
				for i := range list {
					live += headerSize + len(list[i].payload)
				}
			}
		}
	}
	for i := range hot {
		live += 2*headerSize + 8*len(hot[i].values)
	}
	if live == 0 {
		b.tailed(t.restart(b.book))
		return
	}
	if t.size <= min(tailLimit, t.base+2*int64(live)+tailSlack) {
		return
	}
	for live > tailLimit-tailSlack && len(unsaved) > 0 {
		s := unsaved[0]
		unsaved = unsaved[1:]
		t.lost += uint64(s.samples)
		for i := range s.blocks {
			live -= len(s.blocks[i].payload)
		}
	}
	b.tailed(t.rewrite(unsaved, b.book, &b.pack, hot))
}

func cursorsName(r *ring) string { return filepath.Join(r.dir, "cursors") }
