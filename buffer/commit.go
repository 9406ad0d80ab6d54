package buffer

import (
	"errors"
	"fmt"
	"slices"
	"time"
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
	stamps                             uint64 // of Buffer.stamps, as the disk has it
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
			due, again := b.due(now), (b.disk.mode != ModeDisk || b.tail == nil && b.tailDir != "") && now.After(b.disk.retry)
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

// commit brings all that is not acknowledged to disk, and the cursors. Only one goroutine at a time does so; the buffer goes on
// meanwhile.
func (b *Buffer) commit(all bool) {
	b.io.Lock()
	defer b.io.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	late := all || !b.disk.lateSince.IsZero() || b.pressed()
	if late && b.disk.mode != ModeMemory {
		b.disk.lastCommit = now
		if b.oldestPlace() < b.next {
			b.seal()
		}
		b.syncEpochs()
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
	if s != b.open && !slices.Contains(b.segments, s) { // delivered while the slot was made
		return false
	}
	r.slots[slot].held = true
	s.place(slot, b.nextLap)
	b.nextLap++
	return true
}
