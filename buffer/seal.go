package buffer

import (
	"slices"
	"time"
)

// maxChainBytes ends a chain early where its blocks are large: they are kept in memory for as long as they are the newest.
const maxChainBytes = 256 << 10

// seal turns the hot rounds into blocks.
func (b *Buffer) seal() {
	for len(b.hot) > 0 {
		n, samples, end := 0, 0, b.hot[0].seq
		for n < len(b.hot) && n < maxBlockRounds && b.hot[n].seq == end && samples+len(b.hot[n].values) <= maxBlockSamples {
			samples += len(b.hot[n].values)
			end += uint64(len(b.hot[n].values))
			n++
		}
		b.sealBlock(b.hot[:n], samples)
		b.dropHot(n)
	}
}

func (b *Buffer) dropHot(n int) {
	for i := range b.hot[:n] {
		b.memory -= cost(&b.hot[i].round)
	}
	clear(b.hot[:n]) // their values are nobody's any more
	if b.hot = b.hot[n:]; len(b.hot) == 0 {
		b.hot = nil
	}
}

func (b *Buffer) sealBlock(hot []hotRound, samples int) {
	rounds := make([]round, len(hot))
	h := header{kind: kindBlock, seq: hot[0].seq, samples: uint32(samples), rounds: uint16(len(hot)), minMs: hot[0].timeMs, maxMs: hot[0].timeMs}
	for i := range hot {
		rounds[i] = hot[i].round
		h.minMs, h.maxMs = min(h.minMs, hot[i].timeMs), max(h.maxMs, hot[i].timeMs)
	}
	if b.open == nil {
		b.openSegment()
	}
	if n := len(b.open.blocks); n > 0 && b.open.end() != h.seq || b.chain >= maxChain || b.chained > maxChainBytes {
		b.chain = 0
	}
	if b.open.book != b.book.id {
		b.open.book, b.open.written, b.chain = b.book.id, mark{}, 0
	}
	dict, block := b.encode(rounds, &h)
	if b.open.used+pages(headerSize+int64(len(dict)))+pages(headerSize+int64(len(block))) > slotSize {
		b.openSegment()
		dict, block = b.encode(rounds, &h)
	}
	if len(dict) > 0 {
		b.open.add(frame{header: header{kind: kindBook, book: b.book.id, size: uint32(len(dict)), crc: checksum(dict)}, payload: dict}, time.Time{})
		b.open.written = b.book.mark()
	}
	h.size, h.crc, h.book = uint32(len(block)), checksum(block), b.book.id
	b.open.add(frame{header: h, payload: block}, hot[0].at)
	b.memory += len(dict) + len(block)
	b.chain++
	b.chained += len(block)
	if n := len(b.segments); n == 0 || b.segments[n-1] != b.open {
		b.segments = append(b.segments, b.open)
	}
}

// encode makes a block, and the piece of the dictionary that the open segment lacks for it.
func (b *Buffer) encode(rounds []round, h *header) (dict, block []byte) {
	if b.open.written != b.book.mark() {
		dict = slices.Clip(b.pack.appendBook(nil, b.book, b.open.written))
	}
	h.key = b.chain == 0
	if h.key {
		b.chained = 0
	}
	b.scratch = b.writer.encode(b.scratch[:0], b.book, rounds, h.key)
	return dict, slices.Clone(b.scratch)
}

// openSegment begins a segment; its first block is a key block.
func (b *Buffer) openSegment() {
	b.closeSegment()
	b.open = &segment{book: b.book.id}
	b.chain = 0
}

// closeSegment ends the open segment. One that has become empty gives its slot back.
func (b *Buffer) closeSegment() {
	if s := b.open; s != nil && len(s.blocks) == 0 {
		b.remove(s)
	}
	b.open = nil
}

// remove takes a segment out: its data is gone.
func (b *Buffer) remove(s *segment) {
	b.memory -= s.cut(len(s.blocks))
	for i := range s.dicts {
		b.memory -= len(s.dicts[i].payload)
	}
	if s.slot != nil {
		s.slot.held = false
	}
	if i := slices.Index(b.segments, s); i >= 0 {
		b.segments = slices.Delete(b.segments, i, i+1)
	}
	if b.open == s {
		b.open = nil
	}
}

// release forgets what every destination has. With no destination at all everything stays, as far as there is room: one may come.
func (b *Buffer) release() {
	if len(b.readers) == 0 {
		return
	}
	least := b.oldestPlace()
	n := 0
	for n < len(b.hot) && b.hot[n].seq+uint64(len(b.hot[n].values)) <= least {
		n++
	}
	b.dropHot(n)
	disk := least
	for i := range b.dormant {
		disk = min(disk, b.dormant[i].oldest())
	}
	for _, s := range slices.Clone(b.segments) {
		if b.isUnread(span{s.first(), s.end()}) {
			continue
		}
		from := least
		if s.saved() {
			from = disk
		}
		i := s.find(from)
		switch {
		case i < len(s.blocks):
			if i = s.key(i); i > 0 {
				b.memory -= s.cut(i)
			}
		case s == b.open: // it goes on, with a new chain
			b.memory -= s.cut(i)
			b.chain = 0
			b.segments = slices.Delete(b.segments, len(b.segments)-1, len(b.segments))
		default:
			b.remove(s)
		}
	}
	if len(b.segments) == 0 && b.chain == 0 { // there may be no more blocks for long
		b.writer, b.scratch = blockWriter{pack: &b.pack}, nil
	}
	b.trimTail()
}

// bound keeps the memory bound: first goes what is on disk too, then the oldest of what is in memory only.
func (b *Buffer) bound() {
	limit := int(b.cfg.Memory)
	if b.disk.mode != ModeMemory && b.pressed() {
		b.wakeUp() // to write, rather than to lose
	}
	if b.memory <= limit {
		return
	}
	for _, s := range b.segments {
		if b.memory > limit {
			b.memory -= s.evict(s == b.open)
		}
	}
	if b.memory > limit {
		b.seal()
	}
	for b.memory > limit && b.dropOldest() {
	}
}

// pressed tells whether half of the memory is full of what is not on disk.
func (b *Buffer) pressed() bool {
	half := int(b.cfg.Memory) / 2
	if b.memory <= half {
		return false
	}
	n := b.memory
	for _, s := range b.segments {
		for i := range s.blocks {
			if s.blocks[i].saved {
				n -= len(s.blocks[i].payload)
			}
		}
	}
	return n > half
}

// evict drops from memory what is on disk, whole chains of it. The open segment keeps its newest: should its slot fail, it moves.
func (s *segment) evict(open bool) (bytes int) {
	end := len(s.blocks)
	if i := slices.IndexFunc(s.blocks, func(f frame) bool { return !f.saved }); i >= 0 {
		end = s.key(i)
	} else if open {
		end = s.key(end - 1)
	}
	drop := func(f *frame) {
		bytes += len(f.payload)
		f.payload = nil
	}
	for i := range s.blocks[:end] {
		drop(&s.blocks[i])
	}
	if end == len(s.blocks) {
		for i := range s.dicts {
			drop(&s.dicts[i])
		}
	}
	return bytes
}

// dropOldest gives up the oldest chain that is in memory only. Nothing is hot then.
func (b *Buffer) dropOldest() bool {
	for _, s := range b.segments {
		i := slices.IndexFunc(s.blocks, func(f frame) bool { return !f.saved })
		if i < 0 {
			continue
		}
		to := i + 1
		for to < len(s.blocks) && !s.blocks[to].key {
			to++
		}
		if to == len(s.blocks) && s == b.open {
			b.chain = 0
		}
		b.dropBlocks(s, i, to)
		return true
	}
	return false
}

func (b *Buffer) dropBlocks(s *segment, from, to int) {
	for i := from; i < to; i++ {
		b.memory -= len(s.blocks[i].payload)
		s.samples -= int(s.blocks[i].samples)
	}
	lost := span{s.blocks[from].seq, s.blocks[to-1].end()}
	s.blocks, s.at = slices.Delete(slices.Clone(s.blocks), from, to), slices.Delete(slices.Clone(s.at), from, to)
	if len(s.blocks) == 0 {
		b.remove(s)
	}
	b.drop("overflow", lost)
}

// first is the number of the oldest sample kept.
func (b *Buffer) first() uint64 { return b.firstFrom(0) }

// firstFrom is the number of the oldest sample kept from seq on.
func (b *Buffer) firstFrom(seq uint64) uint64 {
	for _, s := range b.segments {
		if s.end() > seq {
			return max(seq, s.blocks[s.find(seq)].seq)
		}
	}
	for i := range b.hot {
		if r := &b.hot[i]; r.seq+uint64(len(r.values)) > seq {
			return max(seq, r.seq)
		}
	}
	return max(seq, b.next)
}

// between counts the samples kept from one number to another.
func (b *Buffer) between(from, to uint64) (n int) {
	for _, s := range b.segments {
		n += s.between(from, to)
	}
	for i := range b.hot {
		r := &b.hot[i]
		if lo, hi := max(from, r.seq), min(to, r.seq+uint64(len(r.values))); lo < hi {
			n += int(hi - lo)
		}
	}
	return n
}
