package buffer

import (
	"errors"
	"slices"
	"time"
)

// A range that cannot be read now is not lost: the device may come back, a permission be given, a directory be put back. The
// destination goes on waiting for it, and it is tried again, while newer samples go on. It is given up after a day, when it has been
// overwritten, and when it can be read and is damaged.
//
// A destination that wants order holds newer samples back for a while first: its receiver would refuse the older ones afterwards. But
// not for long, nor again soon: a disk that is dead must not silence the machine.
const (
	unreadPatience = 2 * retryAfter // the disk is tried twice in that time
	unreadRest     = time.Hour      // from the beginning of one such wait to the next
	unreadGiveUp   = 24 * time.Hour
	firstRetry     = 30 * time.Second // doubled up to retryAfter
	maxUnread      = 8                // ranges; the oldest of more is given up
	awayAfter      = 3                // reads in a row that fail: the device is away, and the rest of it is not tried now
)

var errAbsent = errors.New("the directory cannot be read, or another one was there")

// unread is a range that could not be read.
type unread struct {
	span
	since time.Time // of the first failure
	again time.Time // it is not tried before
	tries int       // that failed; 0: it was not tried, since others had failed
}

// setAside notes that a range could not be read, or, if tried is false, that it is not to be tried now.
func (r *Reader) setAside(s span, why error, tried bool) {
	now := time.Now()
	if len(r.unread) == 0 {
		r.b.log.Warn("buffer: samples cannot be read now; they are kept, and tried again", "destination", r.name, "samples", s.len(), "error", why)
	}
	u := unread{span: s, since: now}
	for i := range r.unread {
		x := &r.unread[i]
		if x.meet(s).empty() {
			continue
		}
		if u.tries = max(u.tries, x.tries); x.since.Before(u.since) {
			u.since = x.since
		}
		x.tries = 0 // what is left of it has yet to show whether it can be read
	}
	u.again = now.Add(min(firstRetry<<min(u.tries, 8), retryAfter))
	if tried {
		u.tries++
	}
	r.forgetUnread(s)
	r.unread = append(r.unread, u)
	slices.SortFunc(r.unread, func(a, b unread) int { return compare(a.from, b.from) })
	r.joinUnread()
	for len(r.unread) > maxUnread || len(r.unread) > 0 && now.Sub(r.unread[0].since) >= unreadGiveUp {
		s := r.unread[0].span
		r.forgetUnread(s)
		r.b.log.Warn("buffer: samples that could not be read are given up", "destination", r.name, "samples", s.len(), "error", why)
		r.drop("unreadable", s)
	}
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// forgetUnread takes a range off those that could not be read.
func (r *Reader) forgetUnread(s span) {
	var rest []unread
	for _, x := range r.unread {
		for _, part := range (spans{x.span}).subtract(s) {
			rest = append(rest, unread{part, x.since, x.again, x.tries})
		}
	}
	r.unread = rest
}

// joinUnread makes one of ranges that touch. What was not tried stays apart: else one bad place would keep the rest from being tried.
func (r *Reader) joinUnread() {
	joined := r.unread[:0]
	for _, u := range r.unread {
		if n := len(joined) - 1; n >= 0 && joined[n].to == u.from && (joined[n].tries == 0) == (u.tries == 0) {
			last := &joined[n]
			last.to, last.tries = u.to, max(last.tries, u.tries)
			if u.since.Before(last.since) {
				last.since = u.since
			}
			if u.again.After(last.again) {
				last.again = u.again
			}
			continue
		}
		joined = append(joined, u)
	}
	r.unread = joined
}

// tryUnread makes what could not be read be tried at once: the disk has changed.
func (b *Buffer) tryUnread() {
	for _, r := range b.readers {
		for i := range r.unread {
			r.unread[i].again = time.Time{}
		}
	}
	b.signal()
}

// holdBack lets a destination that wants order wait for what could not be read.
func (r *Reader) holdBack() {
	if now := time.Now(); now.Sub(r.heldBack) >= unreadRest {
		r.heldBack = now
	}
}

// holdsBack returns for how long the destination still waits so.
func (r *Reader) holdsBack(now time.Time) time.Duration {
	if r.opts.LiveFirst {
		return 0
	}
	return max(0, unreadPatience-now.Sub(r.heldBack))
}

// unreadable sets aside what a lane could not read; after several such in a row, all that is on disk only from there on.
func (l *lane) unreadable(s span, why error) {
	r := l.reader
	r.setAside(s, why, true)
	r.holdBack()
	if l.failures++; l.failures < awayAfter {
		return
	}
	l.failures = 0
	for _, rest := range r.waits(span{s.to, r.b.onDiskUntil(s.to)}) {
		r.setAside(rest, why, false)
	}
}

// onDiskUntil returns up to which number samples from seq on are on disk only.
func (b *Buffer) onDiskUntil(seq uint64) uint64 {
	for _, s := range b.segments {
		for i := s.find(seq); i < len(s.blocks); i++ {
			if s.blocks[i].payload != nil {
				return seq
			}
			seq = s.blocks[i].end()
		}
	}
	return seq
}

// oldestReadable is the number of the first sample that the destination waits for and that can be read, as far as is known.
func (r *Reader) oldestReadable() uint64 {
	live := span{r.live, r.b.next}
	for _, s := range append(slices.Clone(r.gaps), live) {
		for _, u := range r.unread {
			if u.from <= s.from && s.from < u.to {
				s.from = u.to
			}
		}
		if !s.empty() {
			return s.from
		}
	}
	return r.b.next
}

// isUnread tells whether a destination still waits for something of a range that could not be read.
func (b *Buffer) isUnread(s span) bool {
	for _, r := range b.readers {
		if r.isUnread(s) {
			return true
		}
	}
	return false
}

func (r *Reader) isUnread(s span) bool {
	return slices.ContainsFunc(r.unread, func(u unread) bool { return !u.meet(s).empty() })
}

// waitsForDisk tells whether a destination waits for what could not be read.
func (b *Buffer) waitsForDisk() bool {
	for _, r := range b.readers {
		if len(r.unread) > 0 {
			return true
		}
	}
	return false
}

// blind tells whether there may be samples of earlier processes that could not be looked for yet.
func (b *Buffer) blind() bool { return b.cfg.Path != "" && b.disk.ring == nil || b.tailUnread }
