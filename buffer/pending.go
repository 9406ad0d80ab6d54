package buffer

import "slices"

// What a destination waits for is a set of numbers: its gaps, and all from live on. Whatever leaves the buffer before the destination
// has it is taken off that set at once, and counted; so all that a destination waits for is kept, or with its sender.

// waits returns what of a range the destination waits for.
func (r *Reader) waits(s span) spans {
	waits := r.gaps.within(s)
	if live := s.meet(span{r.live, r.b.next}); !live.empty() {
		waits = append(waits, live)
	}
	return waits
}

// pass takes a range, whose samples are accounted for, off what the destination waits for.
func (r *Reader) pass(s span) {
	if s.empty() {
		return
	}
	if s.from < r.b.disk.end {
		r.b.disk.passed++
	}
	r.gaps = r.gaps.subtract(s)
	if s.to > r.live {
		r.gaps = r.gaps.add(span{r.live, s.from})
		r.live = s.to
	}
	r.unsure = slices.DeleteFunc(r.unsure, func(u attempt) bool { return len(r.waits(u.span)) == 0 })
	r.forgetUnread(s)
	r.limitGaps()
}

// drop gives up what the destination waits for of a range that is no longer kept. What a lane holds is safe there.
func (r *Reader) drop(reason string, s span) {
	lost := r.waits(s)
	for i := range r.lanes {
		lost = lost.subtract(r.lanes[i].held)
	}
	for _, x := range lost {
		r.stats.Dropped[reason] += x.len()
		r.pass(x)
	}
}

// drop gives a range up for all destinations.
func (b *Buffer) drop(reason string, s span) {
	for _, r := range b.readers {
		r.drop(reason, s)
	}
	if b.tail != nil {
		b.noteRecord() // it is counted once, also if a kill follows
	}
}

// dropMissing gives up what of a range has been overwritten, or has gone for want of memory, while a lane held it.
func (r *Reader) dropMissing(s span) {
	for _, hole := range r.b.missing(s) {
		r.drop("overflow", hole)
	}
}

// unexplained gives up a range of which nobody knows why it is not kept: a mistake of this program.
func (r *Reader) unexplained(s span) {
	b := r.b
	if !b.unexplained {
		b.unexplained = true
		b.log.Error("buffer: samples are missing, and nothing explains it; please report this", "destination", r.name, "from", s.from, "to", s.to)
	}
	b.disk.damaged++
	r.drop("damaged", s)
}

// begin makes a new destination wait for all that is kept.
func (r *Reader) begin() {
	r.live = r.b.first()
	for _, hole := range r.b.missing(span{r.live, r.b.next}) {
		r.pass(hole)
	}
}

// restore makes the destination go on where a record says that it was. What is not kept of that is lost.
func (r *Reader) restore(c *cursor) {
	r.note, r.generation, r.known = c.note, r.b.record.generation, r.b.past
	r.live, r.gaps = min(c.live, r.b.next), c.gaps.subtract(span{r.b.next, maxNumber})
	for _, u := range c.unsure {
		r.addIndeterminate(attempt{u, noAge})
	}
	r.settle(c.inactive)
	r.limitGaps()
}

// settle gives up what the destination waits for and is not kept, unless it may be elsewhere. What a destination that was inactive
// waits for has gone with the memory that was kept for the others.
func (r *Reader) settle(inactive bool) {
	b := r.b
	if b.blind() {
		return
	}
	first, end := b.first(), b.end()
	for _, hole := range b.missing(span{r.oldest(), b.next}) {
		if b.disk.ring != nil && !inactive { // another directory may have been there, in the time of earlier processes
			elsewhere := min(b.disk.ring.began, b.restored)
			if hole.len() >= void {
				elsewhere = 0
			}
			for _, x := range r.waits(hole.meet(span{0, elsewhere})) {
				r.setAside(x, errAbsent, true)
			}
			hole.from = max(hole.from, elsewhere)
		}
		switch {
		case len(r.waits(hole)) == 0:
		case hole.len() >= void:
			r.pass(hole)
		case inactive || hole.to <= first || hole.from >= b.restored:
			r.drop("overflow", hole)
		case hole.from >= end:
			r.drop("unsaved", hole)
		default:
			b.disk.damaged++
			r.drop("damaged", hole)
		}
	}
}

// end is the number after that of the newest sample kept.
func (b *Buffer) end() uint64 {
	if n := len(b.hot); n > 0 {
		return b.hot[n-1].seq + uint64(len(b.hot[n-1].values))
	}
	if n := len(b.segments); n > 0 {
		return b.segments[n-1].end()
	}
	return 0
}

// missing returns what of a range is not kept.
func (b *Buffer) missing(s span) (holes spans) {
	kept := func(from, to uint64) {
		if to <= s.from || from >= s.to {
			return
		}
		if from > s.from {
			holes = append(holes, span{s.from, from})
		}
		s.from = to
	}
	for _, x := range b.segments {
		if uint64(x.samples) == x.end()-x.first() {
			kept(x.first(), x.end())
			continue
		}
		for i := range x.blocks {
			kept(x.blocks[i].seq, x.blocks[i].end())
		}
	}
	for i := range b.hot {
		kept(b.hot[i].seq, b.hot[i].seq+uint64(len(b.hot[i].values)))
	}
	if !s.empty() {
		holes = append(holes, s)
	}
	return holes
}

// attempt is a batch that has been handed out, and whose outcome is indeterminate: it is handed out again as it was.
type attempt struct {
	span
	oldestMs int64 // what was older was left out
}

// noAge is for batches of which samples of any age are.
const noAge = -1 << 62

// addIndeterminate remembers a batch whose outcome is indeterminate. One that holds another stands for both.
func (r *Reader) addIndeterminate(a attempt) {
	if len(r.waits(a.span)) == 0 {
		return
	}
	for _, u := range r.unsure {
		if !u.meet(a.span).empty() {
			a = attempt{span{min(u.from, a.from), max(u.to, a.to)}, min(u.oldestMs, a.oldestMs)}
		}
	}
	r.unsure = slices.DeleteFunc(r.unsure, func(u attempt) bool { return !u.meet(a.span).empty() })
	r.unsure = append(r.unsure, a)
	slices.SortFunc(r.unsure, func(x, y attempt) int {
		if x.from < y.from {
			return -1
		}
		return 1
	})
	if n := len(r.unsure) - maxUnsure + len(r.lanes); n > 0 { // the record has room for those of the lanes, too
		for _, u := range r.unsure[:n] {
			r.b.log.Info("buffer: a batch may have been sent, but there are too many such to remember it", "destination", r.name, "samples", u.len())
		}
		r.unsure = slices.Clone(r.unsure[n:])
	}
}

// limitGaps merges the nearest gaps while there are too many. What lies between is sent again, and counted.
func (r *Reader) limitGaps() {
	for len(r.gaps) > maxGaps {
		near := -1
		for i := range len(r.gaps) - 1 {
			between := span{r.gaps[i].to, r.gaps[i+1].from}
			if len(r.b.missing(between)) == 0 && (near < 0 || between.len() < r.gaps[near+1].from-r.gaps[near].to) {
				near = i
			}
		}
		if near < 0 { // between all of them is what is no longer kept: only a record has too little room for so many
			return
		}
		between := span{r.gaps[near].to, r.gaps[near+1].from}
		r.stats.Repeated += between.len()
		r.gaps = r.gaps.add(between)
	}
}

// leap brings the live lane to the newest samples, of which there are at most limit, if it is further behind; what it leaves is a
// gap. A batch whose outcome is indeterminate comes first, so that each failure leaves at most one behind.
func (r *Reader) leap(limit int) {
	b := r.b
	if b.between(r.live, b.next) <= limit || slices.ContainsFunc(r.unsure, func(u attempt) bool { return u.from <= r.live && r.live < u.to }) {
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
	if to > r.live {
		r.gaps = r.gaps.add(span{r.live, to})
		r.live = to
		r.limitGaps()
		b.signal() // the other lane has something to read
	}
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
