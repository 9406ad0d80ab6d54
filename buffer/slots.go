package buffer

import (
	"errors"
	"slices"
)

// takeSlot gives a segment a slot. It is false where there is none. The caller holds b.io.
func (b *Buffer) takeSlot(s *segment) bool {
	x := b.emptySlot(s)
	b.mu.Lock()
	defer b.mu.Unlock()
	if x != nil && (s == b.open || slices.Contains(b.segments, s)) { // else it was delivered while the slot was made
		x.held = true
		s.place(x, b.nextLap)
		b.nextLap++
	}
	return x != nil
}

// emptySlot returns a slot for a segment: a free one, a new one, or that of the oldest segment, whose data goes; or nil.
func (b *Buffer) emptySlot(s *segment) *slot {
	x, err := b.freeSlot()
	if x != nil || err != nil && !b.makeFailed(err) {
		return x
	}
	if b.syncRecord() != nil { // nothing is given up for a disk that cannot be written
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if x = b.overwriteOldest(s); x == nil {
		b.toMemory(errors.New("no slot is left"))
	}
	return x
}

// freeSlot returns a slot without data, which it makes if need be, or nil.
func (b *Buffer) freeSlot() (*slot, error) {
	r := b.disk.ring
	b.mu.Lock()
	free, unmade := (*slot)(nil), -1
	for i := range r.max {
		switch x := r.slot(i); {
		case x.bad || x.held:
		case x.file == nil && unmade < 0:
			unmade = i
		case x.file != nil && free == nil:
			free = x
		}
	}
	full := b.disk.full
	b.mu.Unlock()
	if free != nil || unmade < 0 || full {
		return free, nil
	}
	f, err := r.makeFile(unmade)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	x := r.slot(unmade)
	x.file = f
	if b.disk.mode == ModePartial {
		b.setMode(ModeDisk, nil)
	}
	return x, nil
}

// overwriteOldest frees a slot for a segment by giving up the oldest segments on disk. Those in slots beyond the size of the ring,
// which has been made smaller, free none.
func (b *Buffer) overwriteOldest(s *segment) *slot {
	for {
		i := slices.IndexFunc(b.segments, func(x *segment) bool { return x != s && x.slot != nil && x.slot.ring == b.disk.ring && !x.slot.bad })
		if i < 0 {
			return nil
		}
		oldest := b.segments[i]
		x, lost := oldest.slot, span{oldest.first(), oldest.end()}
		b.remove(oldest)
		b.drop("overflow", lost)
		if x.index < b.disk.ring.max {
			return x
		}
	}
}

// shrink removes the files of slots beyond the ring's size that hold nothing any more. The caller holds b.io.
func (b *Buffer) shrink() {
	b.mu.Lock()
	var surplus []*slot
	if r := b.disk.ring; r != nil && b.disk.mode != ModeMemory {
		for _, x := range r.slots[min(r.max, len(r.slots)):] {
			if x.file != nil && !x.held {
				surplus = append(surplus, x)
			}
		}
	}
	b.mu.Unlock()
	for _, x := range surplus {
		if err := ignoreMissing(x.ring.fs.Remove(x.name())); err != nil {
			b.mu.Lock()
			b.count(err)
			b.mu.Unlock()
			return
		}
		b.mu.Lock()
		x.file.Close()
		x.file = nil
		b.mu.Unlock()
	}
}
