package buffer

import (
	"slices"
	"sort"
	"time"
)

// segment is one filling of a slot, whether or not it has a slot yet: blocks, and the dictionaries that they are written in.
// Nothing outside is needed to read it.
type segment struct {
	lap     uint64 // given with the slot
	slot    *slot  // nil: it is in memory only
	book    uint32 // of the newest block
	dicts   []frame
	blocks  []frame
	at      []time.Time // of the oldest round of each block
	used    int64       // bytes of the slot,
	flushed int64       // of which so many have been written
	written mark        // of book, in dicts
	samples int
	stuck   bool // it is in a directory that is gone, and could not be copied
}

func (s *segment) first() uint64 { return s.blocks[0].seq }
func (s *segment) end() uint64   { return s.blocks[len(s.blocks)-1].end() }

// key returns the key block that block i needs, which may be itself.
func (s *segment) key(i int) int {
	for i > 0 && !s.blocks[i].key {
		i--
	}
	return i
}

// find returns the first block that ends after seq.
func (s *segment) find(seq uint64) int {
	return sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].end() > seq })
}

// add puts a frame at the end.
func (s *segment) add(f frame, at time.Time) {
	f.lap, f.off = s.lap, s.used
	s.used += f.room()
	if f.kind == kindBook {
		s.dicts = append(s.dicts, f)
		return
	}
	s.blocks, s.at = append(s.blocks, f), append(s.at, at)
	s.samples += int(f.samples)
}

// place gives the segment a slot, and its frames their places in it.
func (s *segment) place(slot *slot, lap uint64) {
	s.slot, s.lap, s.used, s.flushed = slot, lap, 0, 0
	for _, list := range [][]frame{s.dicts, s.blocks} {
		for i := range list {
			f := &list[i]
			f.lap, f.off, f.saved = lap, s.used, false
			s.used += f.room()
		}
	}
}

// cut removes the blocks before i.
func (s *segment) cut(i int) (bytes int) {
	for _, f := range s.blocks[:i] {
		bytes += len(f.payload)
		s.samples -= int(f.samples)
	}
	s.blocks, s.at = slices.Clone(s.blocks[i:]), slices.Clone(s.at[i:])
	return bytes
}

// saved tells whether all of it is on disk.
func (s *segment) saved() bool {
	return !slices.ContainsFunc(s.blocks, func(f frame) bool { return !f.saved })
}

// flush returns the frames that are to be written to disk. They follow on those that have been written: what was delivered meanwhile
// leaves no hole, which would look like damage.
func (s *segment) flush() (frames []frame) {
	var unsaved []*frame
	for _, list := range [][]frame{s.dicts, s.blocks} {
		for i := range list {
			if !list[i].saved {
				unsaved = append(unsaved, &list[i])
			}
		}
	}
	slices.SortFunc(unsaved, func(a, b *frame) int { return int(a.off - b.off) })
	s.used = s.flushed
	for _, f := range unsaved {
		f.off = s.used
		s.used += f.room()
		frames = append(frames, *f)
	}
	s.flushed = s.used
	return frames
}

// setSaved notes that frames of the segment are on disk.
func (s *segment) setSaved(frames []frame) {
	for _, f := range frames {
		for _, list := range [][]frame{s.dicts, s.blocks} {
			for i := range list {
				if list[i].off == f.off {
					list[i].saved = true
				}
			}
		}
	}
}

// between counts the samples that there are from one number to another.
func (s *segment) between(from, to uint64) (n int) {
	if len(s.blocks) == 0 || to <= s.first() || from >= s.end() {
		return 0
	}
	if from <= s.first() && to >= s.end() {
		return s.samples
	}
	for i := s.find(from); i < len(s.blocks) && s.blocks[i].seq < to; i++ {
		n += int(min(to, s.blocks[i].end()) - max(from, s.blocks[i].seq))
	}
	return n
}

// cutFrom removes the blocks that end after seq.
func (s *segment) cutFrom(seq uint64) {
	i := s.find(seq)
	for _, f := range s.blocks[i:] {
		s.samples -= int(f.samples)
	}
	s.blocks, s.at = s.blocks[:i], s.at[:i]
}

// needed returns the blocks that are not on disk, and those that have to be read before them.
func (s *segment) needed() []frame {
	i := slices.IndexFunc(s.blocks, func(f frame) bool { return !f.saved })
	if i < 0 {
		return nil
	}
	return s.blocks[s.key(i):]
}
