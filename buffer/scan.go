package buffer

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// found is what there is on disk.
type found struct {
	readable bool
	segments []*segment
	record   record
	nextLap  uint64
	book     uint32 // the greatest name of one
	damaged  uint64
	began    uint64 // as in ring
	partly   bool   // some slots could not be read, or not all of them
}

// end is the number after that of the newest sample on disk.
func (f *found) end() uint64 {
	if n := len(f.segments); n > 0 {
		return f.segments[n-1].end()
	}
	return 0
}

// scan reads the headers of all slots and puts their segments in order. Where something cannot be read it fails, unless insist: then
// slots may be left out, but not all of them.
func (f *found) scan(r *ring, wall time.Time, insist bool) (err error) {
	f.readable, f.began = true, maxNumber
	readable := 0
	for _, x := range r.slots {
		if x.file == nil {
			continue
		}
		frames, damaged, readErr := scanSlot(x.file, insist)
		f.damaged += uint64(damaged)
		if readErr == nil || len(frames) > 0 {
			readable++
		}
		if readErr != nil {
			err, f.partly = readErr, true
			x.bad = true // nothing is written there
			if !insist {
				return err
			}
		}
		f.add(x, frames, wall)
	}
	if err != nil && readable == 0 {
		return err
	}
	if f.partly { // greater ones may be where nothing can be read
		f.nextLap += 1 << 32
	}
	f.sort()
	for _, s := range f.segments {
		s.slot.held = true
	}
	return nil
}

// add takes the frames of a slot.
func (f *found) add(x *slot, frames []frame, wall time.Time) {
	s := &segment{slot: x}
	for _, fr := range frames {
		f.nextLap, f.book = max(f.nextLap, fr.lap+1), max(f.book, fr.book)
		f.began = min(f.began, beganWith(&fr))
		s.lap = fr.lap
		if fr.kind == kindBook {
			s.dicts = append(s.dicts, fr)
		} else if len(s.blocks) == 0 || fr.seq >= s.end() {
			s.blocks, s.at = append(s.blocks, fr), append(s.at, arrived(fr.minMs, wall))
			s.samples += int(fr.samples)
		}
		s.used = fr.off + fr.room()
		s.flushed = s.used
	}
	if len(s.blocks) > 0 {
		f.segments = append(f.segments, s)
	}
}

// beganWith returns the number with which a directory began, by one of its frames: that of the first lap if it is still there.
func beganWith(f *frame) uint64 {
	switch {
	case f.lap > 0:
		return 0
	case f.kind == kindBlock:
		return f.seq
	}
	return maxNumber
}

// sort puts the segments in the order of their numbers. What two of them have, one keeps.
func (f *found) sort() {
	slices.SortFunc(f.segments, func(a, b *segment) int {
		if c := compare(a.first(), b.first()); c != 0 {
			return c
		}
		return compare(a.lap, b.lap)
	})
	var next *segment
	for _, s := range slices.Backward(f.segments) {
		if next != nil {
			s.giveWay(next)
		}
		if len(s.blocks) > 0 {
			next = s
		}
	}
	f.segments = slices.DeleteFunc(f.segments, func(s *segment) bool { return len(s.blocks) == 0 })
}

// giveWay settles what is in two segments, of which the other one begins later. That was written when a write to this one had failed,
// or its directory had gone, with all of a chain. It holds, unless it was cut short.
func (s *segment) giveWay(later *segment) {
	if len(later.blocks) == 0 || later.first() >= s.end() {
		return
	}
	n := later.find(s.end() - 1) // which has the last sample of this one
	if later.lap > s.lap && n < len(later.blocks) && allThere(later.slot.file, later.dicts) && allThere(later.slot.file, later.blocks[:n+1]) {
		s.cutFrom(later.first())
		return
	}
	later.cut(min(n+1, len(later.blocks)))
}

// arrived estimates when a round came whose time by the wall clock is ms: not later than now.
func arrived(ms int64, wall time.Time) time.Time {
	return time.Now().Add(-min(max(0, wall.Sub(time.UnixMilli(ms))), 30*24*time.Hour))
}

// scanSlot reads the headers of a slot: the frames of its newest lap, in order. It steps over damage, which it counts. It ends where
// something cannot be read, or, if it insists, goes on behind.
func scanSlot(f File, insist bool) (frames []frame, damaged int, err error) {
	b := make([]byte, headerSize)
	for off := int64(0); off < slotSize; {
		if _, readErr := f.ReadAt(b, off); readErr == io.EOF {
			break
		} else if readErr != nil {
			err = fmt.Errorf("read slot: %w", readErr)
			if !insist {
				break
			}
			damaged++
			off += pageSize
			continue
		}
		h, err := parseHeader(b)
		if err != nil || off+headerSize+int64(h.size) > slotSize || h.kind == kindRound {
			off += pageSize
			continue
		}
		fr := frame{header: h, off: off, saved: true}
		if n := len(frames); n > 0 && h.lap == frames[n-1].lap && frames[n-1].off+frames[n-1].room() != off {
			damaged++
		}
		frames = append(frames, fr)
		off += fr.room()
	}
	var lap uint64
	for i := range frames {
		lap = max(lap, frames[i].lap)
	}
	return slices.DeleteFunc(frames, func(f frame) bool { return f.lap != lap }), damaged, err
}
