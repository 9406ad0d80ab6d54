package buffer

import (
	"errors"
	"slices"
	"time"

	"headend-agent/internal/metric"
)

// lane is one end of the buffer that a destination reads from, a batch at a time.
type lane struct {
	reader *Reader
	batch  metric.Batch // reused

	// Guarded by b.mu.
	held       span // of the batch: from when it is planned until it is acknowledged or given back, nobody else gives it up
	out        bool // the batch is with the sender, who has a copy of the samples
	answerLost bool // of an attempt to send it
	refused    bool // every attempt to send it had an answer
	lost       losses
	timeless   bool // what comes next waits for somebody to know the time

	// Set by plan, for fill.
	pieces  []piece
	offsets []epochOffset
	boot    metric.Epoch
	span          // to take from
	limit   int   // of samples
	oldest  int64 // what is older, in milliseconds, is left out
	unsure  bool  // the batch has been handed out before, and may have been sent
	planned int   // samples in pieces

	renumbered uint64 // b.renumbered as of plan

	load     loader
	group    grouper
	failures int // reads of the disk that have failed in a row
}

// piece is a block or a hot round that a batch takes something of.
type piece struct {
	block block
	hot   round // where the block has no segment
	book  *book // that it is written in; nil: one of its segment
}

// losses are samples that are kept, but not to be handed out, by reason.
type losses struct{ maxAge, clock int }

func (l *losses) count(m map[string]uint64) {
	for reason, n := range map[string]int{"max_age": l.maxAge, "clock": l.clock} {
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
	l.giveBack()
	// What waits for the time is not left behind: what is newer waits for the same, but for a few samples with times of
	// their own.
	if l == &r.lanes[1] && !l.timeless {
		r.leap(limit.Samples)
	}
	s, wait := l.next(time.Now())
	for !s.empty() {
		from := b.firstFrom(s.from)
		if from == s.from {
			break
		}
		l.absent(span{s.from, min(from, s.to)})
		s, wait = l.next(time.Now())
	}
	if s.empty() {
		return wait
	}
	whole := s.to == b.next
	l.limit, l.unsure, l.oldest = limit.Samples, false, noAge
	if age := r.opts.MaxAge; age > 0 {
		l.oldest = b.wall().Add(-age).UnixMilli()
	}
	for _, u := range r.unsure {
		switch {
		case u.from <= s.from && s.from < u.to: // as it was: whatever the limit is now, whatever has come since, whatever is too old by now
			s.to, whole, l.unsure = min(s.to, u.to), false, true
			l.limit, l.oldest = int(s.len()), u.oldestMs
		case u.from > s.from && u.from < s.to:
			s.to, whole = u.from, false
		}
	}
	l.span = s
	n := l.collect()
	l.planned = n
	if n > 0 && l.pieces[0].block.segment == nil {
		l.load = loader{} // the backlog is over
		if cap(l.group.slots) > 4*n+liveBatch {
			l.group = grouper{}
		}
	}
	l.offsets, l.boot, l.batch.Outdated = append(l.offsets[:0], b.epochs...), b.boot, b.outdated
	if n < l.limit && whole {
		at, _ := b.arrivalFrom(l.from)
		if wait := limit.Linger - time.Since(at); wait > 0 {
			return wait
		}
	}
	l.held, l.renumbered = l.span, b.renumbered
	return 0
}

// absent deals with a range that the destination waits for and that is not kept.
func (l *lane) absent(s span) {
	r := l.reader
	switch {
	case s.len() >= void:
		r.pass(s)
	case r.b.blind():
		r.setAside(s, errAbsent, true)
		r.holdBack()
	case r.isUnread(s):
		r.setAside(s, errAbsent, true) // the directory that has it has not come back
	default:
		r.unexplained(s)
	}
}

// giveBack ends a lane's hold on a batch that its sender has not acknowledged.
func (l *lane) giveBack() {
	held := l.held
	l.held = span{}
	if l.out && !l.refused {
		l.reader.addIndeterminate(attempt{held, l.oldest})
	}
	l.out = false
	if !held.empty() {
		l.reader.dropMissing(held)
	}
}

// next is the oldest range that the lane is to read, or for how long there is none: -1 until an Append.
func (l *lane) next(now time.Time) (s span, wait time.Duration) {
	r := l.reader
	wait = -1
	for _, s := range l.ranges() {
		for _, u := range r.unread {
			if u.to <= s.from || !now.Before(u.again) {
				continue
			}
			if u.from > s.from {
				return span{s.from, min(s.to, u.from)}, 0
			}
			if again := u.again.Sub(now); wait < 0 || again < wait {
				wait = again
			}
			if back := r.holdsBack(now); back > 0 {
				return span{}, min(wait, back)
			}
			if s.from = u.to; s.empty() {
				break
			}
		}
		if !s.empty() {
			return s, 0
		}
	}
	return span{}, wait
}

// ranges are what the lane is to read, oldest first.
func (l *lane) ranges() spans {
	r := l.reader
	live := span{r.live, r.b.next}
	switch {
	case l == &r.lanes[1]:
		return spans{live}
	case r.opts.LiveFirst:
		return r.gaps
	}
	return append(slices.Clone(r.gaps), live)
}

// collect finds pieces from l.from on for up to l.limit samples, and ends the range with the last of them.
func (l *lane) collect() (n int) {
	b := l.reader.b
	clear(l.pieces)
	l.pieces = l.pieces[:0]
	living, end := b.book.view(), l.from
	for _, s := range b.segments {
		if s.end() <= l.from {
			continue
		}
		for i := s.find(l.from); i < len(s.blocks) && s.blocks[i].seq < l.to && n < l.limit; i++ {
			p := piece{block: b.block(s, i)}
			if s.blocks[i].book == living.id {
				p.book = living
			}
			l.pieces = append(l.pieces, p)
			end = min(l.to, s.blocks[i].end())
			n += int(end - max(l.from, s.blocks[i].seq))
		}
	}
	for i := range b.hot {
		h := &b.hot[i]
		to := h.seq + uint64(len(h.values))
		if to > l.from && h.seq < l.to && n < l.limit {
			l.pieces = append(l.pieces, piece{hot: h.round, book: living})
			end = min(l.to, to)
			n += int(end - max(l.from, h.seq))
		}
	}
	l.to = end
	return n
}

// fill makes the batch, as far as that can be.
func (l *lane) fill() filling {
	f := filling{lane: l, at: l.from, first: l.from, limit: l.limit}
	l.group.reset(min(l.limit, l.planned))
	for i := 0; i < len(l.pieces) && !f.over(); i++ {
		p := &l.pieces[i]
		if p.block.segment == nil {
			f.add(p.book, &p.hot)
			continue
		}
		k, rounds, err := l.load.rounds(&p.block, p.book)
		if err != nil {
			f.fail(&p.block, err)
			continue
		}
		for i := range rounds {
			f.add(k, &rounds[i])
		}
	}
	l.group.finish(&l.batch)
	l.batch.Unsure = l.unsure
	return f
}

// done takes the result of a filling to the books. It is not ready where there is nothing to hand out after all.
func (l *lane) done(f *filling) (ready bool, w *recordWrite) {
	r, b := l.reader, l.reader.b
	b.mu.Lock()
	defer b.mu.Unlock()
	l.timeless = f.blocked
	held, by := l.held, b.renumbered-l.renumbered
	f.first, f.at = f.first+by, f.at+by
	l.held = span{f.first, f.at}
	if before := (span{held.from, f.first}); !before.empty() { // nothing of it is in the batch
		f.before.count(r.stats.Dropped)
		r.pass(before)
		b.release()
	}
	r.dropMissing(span{f.at, held.to})
	if l.batch.Count > 0 {
		l.out, l.refused, l.answerLost, l.lost, l.failures = true, false, false, f.lost, 0
		return true, b.keepRecord()
	}
	l.held = span{}
	if f.err == nil || !b.keeps(&f.failed) { // else it has been overwritten, or moved
		return false, nil
	}
	b.count(f.err)
	bad := span{f.at, min(f.failed.at().end(), held.to)}
	if errors.Is(f.err, errUnreadable) {
		l.unreadable(bad, f.err)
	} else {
		b.disk.damaged++
		r.drop("damaged", bad)
	}
	return false, nil
}

// filling is the making of one batch.
type filling struct {
	lane    *lane
	first   uint64 // number of the first sample that is in the batch, or may be
	at      uint64 // all from first to here is in the batch, or in lost
	limit   int    // of samples to come
	before  losses // of what comes before first
	lost    losses
	blocked bool // the next round waits for somebody to know the time
	hole    bool // what follows is not what comes next: the batch ends before it
	err     error
	failed  block // that cannot be read: the batch ends before it
}

// over tells that nothing is to be added any more.
func (f *filling) over() bool { return f.blocked || f.hole || f.err != nil || f.limit == 0 }

// add takes what it can of a round.
func (f *filling) add(k *book, r *round) {
	end := min(r.seq+uint64(len(r.values)), f.lane.to)
	if f.over() || end <= f.at {
		return
	}
	if f.hole = r.seq > f.at; f.hole {
		return
	}
	offset, kind := f.lane.offset(r.epoch, r.unset)
	if kind == stampLater {
		f.blocked = true
		return
	}
	n := min(f.limit, int(end-f.at))
	skip := int(f.at - r.seq)
	f.at += uint64(n)
	ms := r.timeMs + offset
	empty := f.limit == f.lane.limit
	lost := &f.lost
	if empty {
		lost = &f.before
	}
	switch {
	case kind == stampNever:
		lost.clock += n
	case ms < f.lane.oldest:
		lost.maxAge += n
	default:
		start := r.startMs
		if start != 0 {
			start += offset
		}
		f.limit -= n
		f.lane.group.add(k, k.lists[r.list][skip:skip+n], r.values[skip:skip+n], ms, start)
		return
	}
	if empty {
		f.first = f.at
	}
}

// fail ends the batch before a block that cannot be read.
func (f *filling) fail(k *block, err error) {
	if k.at().end() > f.at {
		f.failed, f.err = *k, err
	}
}

// offset is Buffer.offset as it was when the batch was planned.
func (l *lane) offset(e metric.Epoch, unset bool) (int64, stampKind) {
	return offsetIn(l.offsets, l.boot, e, unset)
}
