package buffer

import (
	"slices"
	"time"

	"headend-agent/internal/metric"
)

// lane is one end of the buffer that a destination reads from, a batch at a time.
type lane struct {
	reader *Reader
	batch  metric.Batch // reused

	// Guarded by b.mu.
	out     bool // a batch, of the range sent, is with the sender: its samples are safe there while the ring overwrites them
	sent    span
	refused bool   // the last attempt to send it had an answer
	lost    losses // of the batch's range, what is not in the batch

	// Set by plan, for fill.
	pieces   []piece
	offsets  []epochOffset
	boot     metric.Epoch
	from, to uint64
	unsure   bool
	planned  int // samples in pieces

	load  loader
	group grouper
}

// piece is a block or a hot round that a batch takes something of.
type piece struct {
	block block
	hot   round // where the block has no segment
	book  *book // that it is written in; nil: one of its segment
}

// losses are samples that are given up, by reason.
type losses struct{ overflow, damaged, maxAge, clock int }

func (l *losses) count(m map[string]uint64) {
	for reason, n := range map[string]int{"overflow": l.overflow, "damaged": l.damaged, "max_age": l.maxAge, "clock": l.clock} {
		if n > 0 {
			m[reason] += uint64(n)
		}
	}
	*l = losses{}
}

// liveBatch is how many samples a batch may have in good times without being thought large.
const liveBatch = 40_000

// plan finds the pieces of the next batch. It returns how long to wait for more, 0 for not at all, or -1 where only an
// Append helps.
func (l *lane) plan(limit metric.Limit) time.Duration {
	r, b := l.reader, l.reader.b
	if l.out && !l.refused && !slices.Contains(r.unsure, l.sent) && l.sent.to > l.sent.from {
		r.unsure = append(r.unsure, l.sent) // given back by the sender, who may have sent it
	}
	l.out = false
	if l == &r.lanes[1] {
		r.leap(limit.Samples)
	}
	s, ok := l.next()
	for ok {
		if l.from = b.firstFrom(s.from); l.from == s.from {
			break
		}
		l.skip(span{s.from, min(l.from, s.to)})
		s, ok = l.next()
	}
	if !ok {
		return -1
	}
	whole := s.to == b.next
	l.unsure = false
	for _, u := range r.unsure {
		switch {
		case u.from <= l.from && l.from < u.to && u.to <= s.to:
			s.to, whole, l.unsure = u.to, false, true
		case u.from > l.from && u.from < s.to:
			s.to, whole = u.from, false
		}
	}
	l.to = s.to
	n := l.collect(limit.Samples)
	l.planned = n
	if n > 0 && l.pieces[0].block.segment == nil {
		l.load = loader{} // the backlog is over
		if cap(l.group.slots) > 4*n+liveBatch {
			l.group = grouper{}
		}
	}
	l.offsets, l.boot, l.batch.Outdated = append(l.offsets[:0], b.epochs...), b.boot, b.outdated
	if n == 0 {
		return -1
	}
	if n >= limit.Samples || !whole {
		return 0
	}
	at, _ := b.arrivalFrom(l.from)
	return max(0, limit.Linger-time.Since(at))
}

// next is the range that the lane is to read.
func (l *lane) next() (span, bool) {
	r := l.reader
	if l == &r.lanes[0] {
		if len(r.gaps) > 0 {
			return r.gaps[0], true
		}
		if r.opts.LiveFirst {
			return span{}, false
		}
	}
	return span{r.live, r.b.next}, r.live < r.b.next
}

// skip gives up a range that is no longer kept.
func (l *lane) skip(s span) {
	r := l.reader
	reason := "damaged"
	if s.from < r.b.first() {
		reason = "overflow"
	}
	r.stats.Dropped[reason] += s.to - s.from
	r.pass(s)
}

// collect finds pieces from l.from on for up to limit samples.
func (l *lane) collect(limit int) (n int) {
	b := l.reader.b
	clear(l.pieces)
	l.pieces = l.pieces[:0]
	living := b.book.view()
	for _, s := range b.segments {
		if s.end() <= l.from {
			continue
		}
		for i := s.find(l.from); i < len(s.blocks) && s.blocks[i].seq < l.to && n < limit; i++ {
			p := piece{block: b.block(s, i)}
			if s.blocks[i].book == living.id {
				p.book = living
			}
			l.pieces = append(l.pieces, p)
			n += int(min(l.to, s.blocks[i].end()) - max(l.from, s.blocks[i].seq))
		}
	}
	for i := range b.hot {
		h := &b.hot[i]
		end := h.seq + uint64(len(h.values))
		if end > l.from && h.seq < l.to && n < limit {
			l.pieces = append(l.pieces, piece{hot: h.round, book: living})
			n += int(min(l.to, end) - max(l.from, h.seq))
		}
	}
	return n
}

// fill makes the batch of up to limit samples. It is not ready where there is nothing left to hand out after all; blocked tells
// that this is so until somebody knows the time.
func (l *lane) fill(limit int) (ready, blocked bool) {
	f := filling{lane: l, at: l.from, limit: limit, oldest: -1 << 62}
	if age := l.reader.opts.MaxAge; age > 0 {
		f.oldest = l.reader.b.wall().Add(-age).UnixMilli()
	}
	l.group.reset(min(limit, l.planned))
	for i := range l.pieces {
		p := &l.pieces[i]
		if p.block.segment == nil {
			f.add(p.book, &p.hot)
			continue
		}
		k, rounds, err := l.load.rounds(&p.block, p.book)
		if err != nil {
			f.failed(p.block.at(), err)
			continue
		}
		for i := range rounds {
			f.add(k, &rounds[i])
		}
	}
	l.group.finish(&l.batch)
	l.batch.Unsure = l.unsure
	return l.done(&f)
}

// done takes the result of a filling to the books.
func (l *lane) done(f *filling) (ready, blocked bool) {
	r, b := l.reader, l.reader.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.from < b.first() { // overwritten while it was read
		f.lost.overflow, f.lost.damaged, f.damaged = f.lost.damaged, 0, 0
	} else if f.damaged > 0 {
		b.count(f.err)
	}
	l.sent, l.lost = span{l.from, f.at}, f.lost
	b.disk.damaged += f.damaged
	if l.batch.Count == 0 {
		l.lost.count(r.stats.Dropped)
		if l.sent.to > l.sent.from {
			r.pass(l.sent)
			b.release()
		}
		return false, l.sent.to == l.sent.from
	}
	l.out, l.refused = true, false
	b.saveCursors()
	return true, false
}

// filling is the making of one batch.
type filling struct {
	lane    *lane
	at      uint64 // all before is in the batch, or lost
	limit   int    // of samples to come
	oldest  int64  // milliseconds
	blocked bool
	lost    losses
	damaged uint64
	err     error
}

// add takes what it can of a round.
func (f *filling) add(k *book, r *round) {
	end := min(r.seq+uint64(len(r.values)), f.lane.to)
	if f.blocked || f.limit == 0 || end <= f.at {
		return
	}
	offset, kind := f.lane.offset(r.epoch, r.unset)
	if kind == stampLater {
		f.blocked = true
		return
	}
	if r.seq > f.at { // a block between was damaged
		f.lost.damaged += int(r.seq - f.at)
		f.at = r.seq
	}
	n := min(f.limit, int(end-f.at))
	skip := int(f.at - r.seq)
	f.at += uint64(n)
	ms := r.timeMs + offset
	switch {
	case kind == stampNever:
		f.lost.clock += n
		return
	case ms < f.oldest:
		f.lost.maxAge += n
		return
	}
	start := r.startMs
	if start != 0 {
		start += offset
	}
	f.limit -= n
	f.lane.group.add(k, k.lists[r.list][skip:skip+n], r.values[skip:skip+n], ms, start)
}

// failed passes over a block that cannot be read.
func (f *filling) failed(h *header, err error) {
	if f.blocked || f.limit == 0 {
		return
	}
	f.damaged++
	f.err = err
	to := min(h.end(), f.lane.to)
	if to > f.at {
		f.lost.damaged += int(to - f.at)
		f.at = to
	}
}

// offset is Buffer.offset as it was when the batch was planned.
func (l *lane) offset(e metric.Epoch, unset bool) (int64, stampKind) {
	return offsetIn(l.offsets, l.boot, e, unset)
}

// leap brings the live lane to the newest samples, of which there are at most limit, if it is further behind; what it leaves is a
// gap.
func (r *Reader) leap(limit int) {
	b := r.b
	if b.between(r.live, b.next) <= limit {
		return
	}
	to := b.next
	for _, list := range [][]uint64{b.hotStarts(), b.blockStarts(r.live)} {
		for _, seq := range slices.Backward(list) {
			if b.next-seq > uint64(limit) && to < b.next {
				break
			}
			to = min(to, max(seq, r.live))
		}
	}
	if to <= r.live {
		return
	}
	if n := len(r.gaps); n > 0 && r.gaps[n-1].to == r.live {
		r.gaps[n-1].to = to
	} else {
		r.gaps = append(r.gaps, span{r.live, to})
	}
	r.live = to
	r.limitGaps()
}

func (b *Buffer) hotStarts() (list []uint64) {
	for i := range b.hot {
		list = append(list, b.hot[i].seq)
	}
	return list
}

func (b *Buffer) blockStarts(from uint64) (list []uint64) {
	for _, s := range b.segments {
		for i := s.find(from); i < len(s.blocks); i++ {
			list = append(list, s.blocks[i].seq)
		}
	}
	return list
}

// limitGaps merges the nearest gaps while there are too many. What lies between is sent again, and counted.
func (r *Reader) limitGaps() {
	for len(r.gaps) > maxGaps {
		near := 0
		for i := range len(r.gaps) - 1 {
			if r.gaps[i+1].from-r.gaps[i].to < r.gaps[near+1].from-r.gaps[near].to {
				near = i
			}
		}
		r.stats.Repeated += uint64(r.b.between(r.gaps[near].to, r.gaps[near+1].from))
		r.gaps[near].to = r.gaps[near+1].to
		r.gaps = slices.Delete(r.gaps, near+1, near+2)
	}
}
