package push

import (
	"sync"
	"time"

	"headend-agent/internal/metric"
)

// suspects are series that a receiver of 1.0 has refused. A suspect goes in a request apart from the others; one that was refused
// alone, whole and several times in a row is left out for a while.
type suspects struct {
	mu    sync.Mutex
	known map[metric.Ref]*suspect
}

type suspect struct {
	strikes int // refusals of it alone, in a row
	last    time.Time
	until   time.Time // left out
}

const (
	strikesOut   = 3
	leftOut      = 10 * time.Minute
	forgetAfter  = time.Hour
	maxSuspects  = 5_000
	dueForReview = strikesOut - 1 // strikes with which one comes back after leftOut
)

type standing int

const (
	unknown standing = iota
	suspected
	muted
)

func (s *suspects) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known) == 0
}

// of tells how a series stands.
func (s *suspects) of(ref metric.Ref, now time.Time) standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.known[ref]
	switch {
	case x == nil:
		return unknown
	case now.Before(x.until):
		return muted
	}
	return suspected
}

// refused notes series that stood refused together.
func (s *suspects) refused(set []metric.Samples, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range set {
		x := s.known[set[i].Ref]
		if x == nil {
			if len(s.known) >= maxSuspects && !s.sweep(now) {
				return
			}
			x = &suspect{}
			if s.known == nil {
				s.known = map[metric.Ref]*suspect{}
			}
			s.known[set[i].Ref] = x
		}
		x.last = now
		if len(set) > 1 {
			continue
		}
		if x.strikes++; x.strikes >= strikesOut {
			x.strikes, x.until = dueForReview, now.Add(leftOut)
		}
	}
}

// sweep makes room.
func (s *suspects) sweep(now time.Time) bool {
	for ref, x := range s.known {
		if now.Sub(x.last) >= forgetAfter {
			delete(s.known, ref)
		}
	}
	return len(s.known) < maxSuspects
}

// accepted clears series of suspicion.
func (s *suspects) accepted(set []metric.Samples) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) == 0 {
		return
	}
	for i := range set {
		delete(s.known, set[i].Ref)
	}
}

// forget clears all: the receiver refuses everything, which no series is to blame for.
func (s *suspects) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.known)
}

// counts returns how many series are suspected and how many of them are left out.
func (s *suspects) counts(now time.Time) (all, out int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.known {
		if now.Before(x.until) {
			out++
		}
	}
	return len(s.known), out
}
