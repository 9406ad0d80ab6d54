package push

import "time"

// bound is a size that requests may have: samples, or bytes of a body. It halves when a size fails and doubles as sizes are
// taken. The size that failed last is remembered as a wall, and each time that growth meets it again it keeps away for longer.
// The zero value knows of no limit but the caller's, called safe: the size that nobody is known to mind.
type bound struct {
	limit  int  // 0: none learned
	taken  int  // the largest size that was ever taken
	good   int  // sizes near the limit that were taken since it last changed
	proven bool // there was one

	wall  int           // 0: none
	hold  time.Duration // so long growth keeps away from the wall
	until time.Time     // the end of that

	falling bool // since the last size that was taken, one failed that had been good before
	before  int  // the limit at the beginning of the fall
}

const (
	cutAfter  = 3 // failures of a request until the next one is smaller
	growAfter = 2 // sizes near the limit until it grows
	holdFirst = time.Minute
	holdMost  = time.Hour
)

// at returns the size that is allowed.
func (b *bound) at(safe int) int {
	if b.limit == 0 {
		return safe
	}
	return b.limit
}

// trial tells whether a size is an attempt to grow: it has failed before, or nobody knows that it is taken, and it is beyond what
// nobody minds, or something larger has failed.
func (b *bound) trial(size, safe int) bool {
	return b.wall > 0 && 4*size > 3*b.wall || size > b.taken && (size > safe || b.wall > 0)
}

// patience is how many failures of a request of that size it takes to think of its size. One is enough for a trial and in a fall.
func (b *bound) patience(size, safe int) int {
	if b.falling || b.trial(size, safe) {
		return 1
	}
	return cutAfter
}

// failed halves the limit, down to least, because a size was too much, or may have been.
func (b *bound) failed(size, least, safe int, now time.Time) {
	if !b.falling && !b.trial(size, safe) {
		b.falling, b.before = true, b.limit
	}
	if b.wall > 0 && 4*size > 3*b.wall {
		b.hold = min(max(holdFirst, 2*b.hold), holdMost)
	} else {
		b.hold = 0
	}
	b.wall, b.until = size, now.Add(b.hold)
	if half := max(least, size/2); half < b.at(safe) { // the other lane may have halved it already
		b.limit, b.good, b.proven = half, 0, false
	}
}

// reduced tells whether less is allowed than what is safe, or growth to that is only being tried.
func (b *bound) reduced(safe int) bool { return b.at(safe) < safe || b.wall > 0 && b.wall <= safe }

// took lets the limit grow, up to most, because a size was taken.
func (b *bound) took(size, safe, most int, now time.Time) {
	b.taken = max(b.taken, size)
	switch {
	case b.falling && size >= b.wall: // the very size that failed is taken now: it was not the size
		*b = bound{limit: b.before, taken: b.taken}
		return
	case 16*size >= 15*b.wall:
		b.wall, b.hold = 0, 0
	}
	b.falling = false
	if 4*size < 3*b.at(safe) {
		return
	}
	b.good, b.proven = b.good+1, true
	next := min(2*b.at(safe), most)
	if b.wall > 0 {
		next = min(next, b.wall)
	}
	enough := growAfter
	if next <= b.taken && b.hold == 0 { // it may have been a passing trouble
		enough = 1
	}
	if b.good >= enough && next > b.at(safe) && (b.wall == 0 || !now.Before(b.until)) {
		b.limit, b.good, b.proven = next, 0, false
	}
}
