package buffer

import (
	"errors"
	"slices"
)

// A directory may be moved or deleted under a buffer at work. Its files stay open, so that all in it can still be read; but a process
// that comes after would find nothing. After a while the buffer goes on in the directory that it makes, or finds, at the path. What
// destinations still wait for is copied there, unless it is there already: the path may lead to a copy, or to the same disk by another
// mount.

var errForeign = errors.New("the directory holds samples of another buffer; a restart takes them in")

// changeRing goes on with the directory that has come into the place of the one in use. The caller holds b.io.
func (b *Buffer) changeRing(r *ring, f *found) {
	there := b.alsoThere(f)
	b.mu.Lock()
	defer b.mu.Unlock()
	if max(f.end(), f.record.last()) > b.next {
		r.close()
		b.count(errForeign)
		if !b.disk.alien {
			b.log.Warn("buffer: another directory has come into the place of the one in use, and is left alone", "path", b.cfg.Path, "error", errForeign)
		}
		b.disk.alien = true
		return
	}
	b.closeSegment()
	b.stranded = append(b.stranded, b.disk.ring)
	b.disk.ring, b.nextLap = r, max(b.nextLap, f.nextLap)
	if f.book >= b.book.id {
		b.rotate(f.book + 1)
		b.closeSegment()
	}
	b.putBack(f.segments, there)
	b.useDisk()
	for _, x := range b.readers {
		x.settle(false)
	}
	b.tryUnread()
	b.disk.recordDue = true
	b.wakeUp() // to copy what is not there
}

// alsoThere returns the segments that are in a directory as they are in the one in use, and their slots there.
func (b *Buffer) alsoThere(f *found) map[*segment]*slot {
	b.mu.Lock()
	ours := map[*segment][]frame{}
	for _, s := range b.segments {
		if s.slot != nil {
			ours[s] = append(slices.Clone(s.dicts), s.blocks...)
		}
	}
	b.mu.Unlock()
	there := map[*segment]*slot{}
	for s, frames := range ours {
		i := slices.IndexFunc(f.segments, func(x *segment) bool { return x.lap == s.lap })
		if i >= 0 && allThere(f.segments[i].slot.file, frames) {
			there[s] = f.segments[i].slot
		}
	}
	return there
}

func allThere(file File, frames []frame) bool {
	var buf []byte
	for i := range frames {
		if !frames[i].saved {
			continue
		}
		var err error
		if buf, _, err = readFrame(file, &frames[i], buf); err != nil {
			return false
		}
	}
	return true
}

// putBack takes in what a directory holds: what is in the one before as well, and what destinations still wait for, though it could not
// be found until now. All else has been delivered, or given up.
func (b *Buffer) putBack(list []*segment, there map[*segment]*slot) {
	first := b.first()
	var back []*segment
	for _, s := range list {
		s.cutFrom(first)
		if s.slot.held = len(s.blocks) > 0 && b.isUnread(span{s.first(), s.end()}); s.slot.held {
			back = append(back, s)
		}
	}
	for _, s := range b.segments {
		if x := there[s]; x != nil {
			s.slot, x.held = x, true
		}
	}
	b.segments = append(back, b.segments...)
}

// rescue copies a segment from a directory that is gone into a slot of the one in use. The caller holds b.io.
func (b *Buffer) rescue(s *segment) bool {
	b.mu.Lock()
	from := s.slot
	moved := &segment{dicts: slices.Clone(s.dicts), blocks: slices.Clone(s.blocks)}
	b.mu.Unlock()
	for _, list := range [][]frame{moved.dicts, moved.blocks} {
		for i := range list {
			if err := from.fetch(&list[i]); err != nil {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.count(err)
				s.stuck = true // it is read from where it is, as long as that goes
				return true
			}
		}
	}
	x := b.emptySlot(s)
	if x == nil {
		return false
	}
	b.mu.Lock()
	moved.place(x, b.nextLap)
	b.nextLap++
	b.mu.Unlock()
	n, err := writeFrames(x.file, moved.flush())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.disk.bytes += uint64(n)
	if err != nil {
		b.leaveSlot(x, err)
		return true
	}
	b.disk.commits++
	if slices.Contains(b.segments, s) { // else it was delivered meanwhile
		s.replace(moved)
		x.held = true
	}
	return true
}

// fetch gets a frame's payload into memory.
func (x *slot) fetch(f *frame) (err error) {
	if f.payload != nil {
		return nil
	}
	if _, f.payload, err = readFrame(x.file, f, nil); errors.Is(err, errUnreadable) {
		_, f.payload, err = x.readAgain(f, nil)
	}
	return err
}

// replace gives the segment the places of a copy, which has at least its frames.
func (s *segment) replace(moved *segment) {
	s.slot, s.lap, s.used, s.flushed = moved.slot, moved.lap, moved.used, moved.flushed
	take := func(f *frame, from *frame) { f.lap, f.off, f.saved = from.lap, from.off, true }
	for i := range s.dicts {
		take(&s.dicts[i], &moved.dicts[i])
	}
	for i := range s.blocks {
		take(&s.blocks[i], &moved.blocks[moved.find(s.blocks[i].seq)])
	}
}

// closeStranded closes directories that are gone, once nothing of them is needed. The caller holds b.io.
func (b *Buffer) closeStranded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stranded = slices.DeleteFunc(b.stranded, func(r *ring) bool {
		if slices.ContainsFunc(b.segments, func(s *segment) bool { return s.slot != nil && s.slot.ring == r }) {
			return false
		}
		r.close()
		return true
	})
}
