package buffer

import "slices"

// What earlier processes have left may come to light late: a directory that could not be read, a WAL that another agent had. It then
// goes before all that has been appended since, whose numbers are greater, or are made so.

// another is a buffer that only takes in what earlier processes have left, while b goes on.
func (b *Buffer) another() *Buffer {
	x := &Buffer{cfg: b.cfg, table: b.table, log: b.log, fs: b.fs, wall: b.wall, wake: make(chan struct{}, 1), grown: make(chan struct{})}
	x.writer.pack = &x.pack
	x.disk.errors = map[string]uint64{}
	x.disk.mode = ModeMemory
	return x
}

// takeIn puts what x has found before what there is. Of that b had some before; partly tells that there may be more that cannot be
// read. The caller holds b.mu.
func (b *Buffer) takeIn(x *Buffer, had spans, partly bool) {
	x.seal()
	x.closeSegment()
	b.rotate(max(b.book.id, x.book.id) + 1) // no dictionary may have the name of another
	b.closeSegment()
	ours := b.endBefore(provisional)
	if ours < x.disk.end {
		b.forgetBefore(provisional) // the WAL had failed when the newest of the disk was written: the disk has what is in it
	} else {
		x.cutFrom(b.first())
	}
	known := b.past
	b.past = max(b.past, x.next, ours)
	if b.next >= provisional && (b.disk.ring != nil || x.next >= provisional) {
		by := b.past - provisional
		if b.tailUnread || partly {
			by += beyondUnread
		}
		b.renumber(by)
	}
	b.restored = max(b.restored, b.past)
	b.segments = append(x.segments, b.segments...)
	b.memory += x.memory
	b.nextLap, b.disk.end = max(b.nextLap, x.nextLap), max(b.disk.end, x.disk.end)
	b.disk.damaged += x.disk.damaged
	for errno, n := range x.disk.errors {
		b.disk.errors[errno] += n
	}
	found := spans{{x.first(), x.next}}
	for _, s := range append(x.missing(found[0]), had...) {
		found = found.subtract(s)
	}
	b.takeInRecord(&x.record, known, x.next)
	for _, r := range b.readers {
		r.takeIn(&x.record, found, x.next)
	}
	b.tryUnread()
}

// endBefore is the number after that of the newest sample before a number; all is in segments.
func (b *Buffer) endBefore(seq uint64) (end uint64) {
	for _, s := range b.segments {
		for i := range s.blocks {
			if s.blocks[i].seq < seq {
				end = s.blocks[i].end()
			}
		}
	}
	return end
}

// forgetBefore removes the samples before a number, which are all in memory.
func (b *Buffer) forgetBefore(seq uint64) {
	for _, s := range slices.Clone(b.segments) {
		if i := s.find(seq); i < len(s.blocks) {
			b.memory -= s.cut(i)
		} else {
			b.remove(s)
		}
	}
}

// cutFrom removes the blocks that end after seq: somebody else has them.
func (b *Buffer) cutFrom(seq uint64) {
	b.segments = slices.DeleteFunc(b.segments, func(s *segment) bool {
		for i := s.find(seq); i < len(s.blocks); i++ {
			b.memory -= len(s.blocks[i].payload)
		}
		s.cutFrom(seq)
		if len(s.blocks) == 0 && s.slot != nil {
			s.slot.held = false
		}
		return len(s.blocks) == 0
	})
}

// renumber moves provisional numbers. No sample that has one is on disk, and none is hot.
func (b *Buffer) renumber(by uint64) {
	b.renumbered += by
	b.next = shifted(b.next, by)
	for _, s := range b.segments {
		for i := range s.blocks {
			s.blocks[i].seq = shifted(s.blocks[i].seq, by)
		}
	}
	for i := range b.dormant {
		b.dormant[i] = b.dormant[i].shifted(by)
	}
	for _, r := range b.readers {
		r.live, r.gaps = shifted(r.live, by), r.gaps.shifted(by)
		for i := range r.unsure {
			r.unsure[i].span = r.unsure[i].shifted(by)
		}
		for i := range r.unread {
			r.unread[i].span = r.unread[i].shifted(by)
		}
		for i := range r.lanes {
			r.lanes[i].held = r.lanes[i].held.shifted(by)
		}
	}
}

// takeInRecord takes over what a record says that is new: of destinations that are not configured, and of epochs. Those knew of samples
// before one number; some have been found up to another.
func (b *Buffer) takeInRecord(rec *record, known, to uint64) {
	b.adoptEpochs(rec.epochs)
	newer := rec.generation > b.record.generation
	for _, c := range rec.cursors {
		i := slices.IndexFunc(b.dormant, func(d cursor) bool { return d.name == c.name })
		switch {
		case b.readers[c.name] != nil:
		case i < 0:
			b.dormant = append(b.dormant, c)
		case newer:
			b.dormant[i] = c
		default:
			d := &b.dormant[i]
			d.gaps = d.gaps.add(span{known, to}.meet(span{0, d.live}))
		}
	}
	if newer {
		b.record = *rec
	}
	b.disk.generation = max(b.disk.generation, rec.generation)
}

// takeIn makes the destination wait for what it has not got of the samples that were found, and of those that the record's process
// knew of, up to a number.
func (r *Reader) takeIn(rec *record, found spans, to uint64) {
	wants := found
	i := slices.IndexFunc(rec.cursors, func(c cursor) bool { return c.name == r.name })
	switch {
	case rec.generation < r.generation: // it knows better, but for what came later than its own record
		wants = found.within(span{r.known, to})
	case i >= 0:
		wants = r.takeInCursor(&rec.cursors[i], found, to)
		r.generation = rec.generation
	}
	for _, s := range wants {
		r.gaps = r.gaps.add(s.meet(span{0, r.live}))
	}
	r.settle(false)
	r.limitGaps()
}

func (r *Reader) takeInCursor(c *cursor, found spans, to uint64) (wants spans) {
	if r.note == "" {
		r.note = c.note
	}
	waits := c.gaps.add(span{c.live, to})
	if r.generation == 0 {
		wants = waits
	} else {
		acked := spans{{0, to}}
		for _, s := range waits {
			acked = acked.subtract(s)
		}
		for _, s := range acked {
			r.pass(s)
		}
		for _, s := range found {
			wants = append(wants, waits.within(s)...)
		}
	}
	for _, s := range wants {
		r.gaps = r.gaps.add(s.meet(span{0, r.live}))
	}
	for _, u := range c.unsure {
		r.addIndeterminate(attempt{u, noAge})
	}
	return wants
}
