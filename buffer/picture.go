package buffer

import (
	"slices"
	"strings"
	"time"
)

// Picture is the ring as a person would want to see it.
type Picture struct {
	Mode    Mode
	Room    int           // slots that the ring may have; 0 where there is none
	Slots   []SlotPicture // that hold samples, oldest first
	Cursors []CursorPicture
}

// SlotPicture is what a slot holds.
type SlotPicture struct {
	Oldest  time.Time
	Samples int
	OnDisk  bool
}

// CursorPicture is where the oldest sample is that a destination has not got.
type CursorPicture struct {
	Destination string
	Slot        int // index in Picture.Slots
}

// Picture returns a snapshot, which is the caller's. Destinations that want nothing of the slots have no cursor in it.
func (b *Buffer) Picture() Picture {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := Picture{Mode: b.disk.mode}
	if b.disk.ring != nil {
		p.Room = b.disk.ring.max
	}
	for _, s := range b.segments {
		if len(s.blocks) > 0 {
			p.Slots = append(p.Slots, SlotPicture{Oldest: s.at[0], Samples: s.samples, OnDisk: s.slot != nil})
		}
	}
	for name, r := range b.readers {
		oldest, i := r.oldest(), 0
		for _, s := range b.segments {
			if len(s.blocks) == 0 {
				continue
			}
			if oldest < s.end() {
				p.Cursors = append(p.Cursors, CursorPicture{name, i})
				break
			}
			i++
		}
	}
	slices.SortFunc(p.Cursors, func(a, b CursorPicture) int { return strings.Compare(a.Destination, b.Destination) })
	return p
}
