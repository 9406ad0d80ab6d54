package buffer

import (
	"errors"
	"fmt"
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

// makeFailed judges why a slot could not be made. It is true where the ring goes on with those that there are.
func (b *Buffer) makeFailed(err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
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
	x := s.slot
	b.move(s)
	b.leaveSlot(x, err)
}

// leaveSlot leaves a slot alone after an error.
func (b *Buffer) leaveSlot(x *slot, err error) {
	b.count(err)
	b.log.Warn("a slot of the buffer fails and is left alone", "slot", slotName(x.index), "error", err)
	x.bad = true
	if b.disk.bad++; b.disk.bad >= maxBadSlots {
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
	moved := &segment{book: s.book, written: s.written}
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
		s.slot.held = false
		b.segments[at] = moved
		return
	}
	s.dicts = slices.Clone(s.dicts)
	for i := range s.dicts {
		s.dicts[i].payload = nil
	}
	b.segments = slices.Insert(b.segments, at+1, moved)
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

// count counts an error by its number.
func (b *Buffer) count(err error) {
	name := "other"
	var errno syscall.Errno
	if errors.As(err, &errno) {
		name = errnoName(errno)
	}
	b.disk.errors[name]++
}
