package push

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"

	"headend-agent/internal/metric"
)

// A receiver without a window for late samples refuses all that is older than some age. By 1.0 it does not say which of a request's
// samples those are. Single samples find it out: of ever newer times, each of another series, since one series may be refused for
// something else. Only an accepted sample costs anything, because older ones of its series are late from then on; but what is older
// than that has been found too old already, unless times were skipped because there are so many.

// oldAge is the age below which a refusal is not taken to be about age.
const oldAge = 5 * time.Minute

// minProbed is the number of series below which a refused set is not asked for its age: each of them can be asked by itself.
const minProbed = 4

// Bounds of a search, in samples that are refused.
const (
	ageProbes  = 32 // in a batch
	ageSteps   = 16 // through the times of a batch of which something was refused
	ageStrides = 8  // of one that follows a batch which was refused whole for its age; or through the times that were skipped
)

// ageSearch looks in a set for the newest time that a receiver refuses.
type ageSearch struct {
	l       *lane
	set     []metric.Samples // without what was accepted
	skipped []metric.Samples // older samples of the series of which one was accepted
	asked   int              // samples that were asked for
	refused int64            // the newest time that was
	before  int64            // the newest but one
	taken   int64            // the oldest time that was accepted
}

// skipOld is for a receiver that has refused a whole batch for its age: it takes from the next one what is refused for the same
// reason, before that is sent in vain. It returns false as deliver does.
func (l *lane) skipOld(clean, suspects *[]metric.Samples) bool {
	set := *clean
	if len(set) == 0 || l.batch.Unsure || !l.s.receiver.refusesOld() || !l.s.isOld(newest(set)) {
		return true
	}
	l.doubtful = false
	left, found, ok := l.findAge(set, ageStrides)
	switch {
	case !ok:
		return false
	case found: // else all of them are too old
		l.s.receiver.refusedWhole(false, false)
	default:
		l.refuse(count(*suspects))
		*suspects = nil
	}
	*clean = left
	return true
}

// cutOld takes from a refused set what is refused for its age, and counts it. cut tells whether there was such a thing.
func (l *lane) cutOld(set []metric.Samples) (rest []metric.Samples, cut, ok bool) {
	if len(set) < minProbed || !l.s.isOld(oldest(set)) {
		return set, false, true
	}
	n := count(set)
	delivered := l.out.Delivered
	rest, _, ok = l.findAge(set, ageSteps)
	return rest, ok && n-count(rest) > l.out.Delivered-delivered, ok
}

// findAge takes from a set what a receiver refuses for its age, and counts it, and what it has accepted on the way. found tells whether
// it has accepted anything.
func (l *lane) findAge(set []metric.Samples, steps int) (left []metric.Samples, found, ok bool) {
	budget := l.budget
	l.budget = ageProbes
	defer func() { l.budget = budget }()
	a := ageSearch{l: l, set: append([]metric.Samples(nil), set...), refused: math.MinInt64, before: math.MinInt64, taken: math.MaxInt64}
	for i := range a.set { // not always the same ones: they may be to blame
		j := i + int(l.s.random()*float64(len(a.set)-i))
		a.set[i], a.set[j] = a.set[j], a.set[i]
	}
	slices.SortStableFunc(a.set, func(x, y metric.Samples) int { return cmp.Compare(x.Points[0].TimeMs, y.Points[0].TimeMs) })
	if !a.walk(steps) || !a.confirm() {
		return nil, false, false
	}
	left, ok = a.finish()
	return left, a.taken < math.MaxInt64, ok
}

// walk asks for samples of ever newer times, in so many steps, and then in smaller ones for those that were skipped.
func (a *ageSearch) walk(steps int) (ok bool) {
	most := 0
	for i := range a.set {
		most = max(most, len(a.set[i].Points))
	}
	stride := (most + steps - 1) / steps
	if steps == ageSteps { // the set was refused, so its oldest samples are likely to be
		if ok := a.oldestOfTwo(); !ok || a.taken < math.MaxInt64 {
			return ok
		}
	}
	for a.l.budget > 2 { // one for confirm, one for what was skipped
		i, k := a.next(stride)
		if i < 0 {
			return true
		}
		taken := a.taken
		if ok := a.ask(i, k); !ok {
			return false
		}
		if a.taken < taken {
			stride = (stride + ageStrides - 1) / ageStrides
		}
	}
	return true
}

// oldestOfTwo asks for the oldest sample of two series: where one is accepted, age is not what the set was refused for.
func (a *ageSearch) oldestOfTwo() (ok bool) {
	for i := range 2 {
		if ok := a.ask(i, 0); !ok {
			return false
		}
		if a.taken < math.MaxInt64 {
			a.refused = math.MinInt64
			return true
		}
	}
	return true
}

// next finds a series, another one each time, and its sample to ask for: of those between what is refused and what is taken, the one
// that is a stride further, or the last. i is -1 where there is none.
func (a *ageSearch) next(stride int) (i, k int) {
	for n := range a.set {
		i := (a.asked + n) % len(a.set)
		p := a.set[i].Points
		from := after(p, a.refused)
		to := sort.Search(len(p), func(k int) bool { return p[k].TimeMs >= a.taken || !a.l.s.isOld(p[k].TimeMs) })
		if from < to {
			return i, min(from+stride, to) - 1
		}
	}
	return -1, 0
}

// ask sends the k'th sample of a series alone. Where it is accepted, it and those before it are taken out of the set.
func (a *ageSearch) ask(i, k int) (ok bool) {
	s := &a.set[i]
	a.asked++
	a.l.s.stats.ageRequest()
	one := *s
	one.Points = s.Points[k : k+1]
	at := one.Points[0].TimeMs
	refused, ok := a.l.try([]metric.Samples{one})
	switch {
	case !ok:
		return false
	case len(refused) > 0:
		if at > a.refused {
			a.before, a.refused = a.refused, at
		}
		return true
	}
	if k > 0 {
		a.skipped = append(a.skipped, head(*s, k)...)
	}
	a.taken = min(a.taken, at)
	*s = tail(*s, len(s.Points)-k-1)[0]
	return true
}

// confirm asks for the newest time that was refused by another series: the first one may have been refused for something else.
func (a *ageSearch) confirm() (ok bool) {
	if a.refused == math.MinInt64 {
		return true
	}
	for n := range a.set {
		i := (a.asked + n) % len(a.set)
		k := after(a.set[i].Points, a.refused) - 1
		if k < 0 || a.set[i].Points[k].TimeMs <= a.before {
			continue
		}
		taken, was := a.taken, a.refused
		a.taken = math.MaxInt64
		if ok := a.ask(i, k); !ok {
			return false
		}
		if a.taken < math.MaxInt64 && a.refused == was {
			a.refused = a.before
		}
		a.taken = min(a.taken, taken)
		return true
	}
	return true
}

// finish counts what is too old, tries what was skipped, and returns what is left.
func (a *ageSearch) finish() (left []metric.Samples, ok bool) {
	cut := func(set []metric.Samples) []metric.Samples {
		for i := range set {
			k := after(set[i].Points, a.refused)
			if k > 0 {
				a.l.s.report.tooOld()
			}
			a.l.refuse(k)
			set[i] = tail(set[i], len(set[i].Points)-k)[0]
		}
		return occupied(set)
	}
	late, ok := a.l.try(cut(a.skipped))
	if !ok {
		return nil, false
	}
	a.l.refuse(count(late))
	return cut(a.set), true
}

// after returns the index of the first point that is newer than a time.
func after(p []metric.Point, ms int64) int {
	return sort.Search(len(p), func(k int) bool { return p[k].TimeMs > ms })
}

// occupied removes the series that have no samples left.
func occupied(set []metric.Samples) []metric.Samples {
	n := 0
	for i := range set {
		if len(set[i].Points) > 0 {
			set[n] = set[i]
			n++
		}
	}
	return set[:n]
}

func oldest(set []metric.Samples) int64 {
	ms := set[0].Points[0].TimeMs
	for i := range set {
		ms = min(ms, set[i].Points[0].TimeMs)
	}
	return ms
}

func newest(set []metric.Samples) int64 {
	ms := set[0].Points[0].TimeMs
	for i := range set {
		ms = max(ms, set[i].Points[len(set[i].Points)-1].TimeMs)
	}
	return ms
}

func (s *Sender) isOld(ms int64) bool { return s.wall().Sub(time.UnixMilli(ms)) > oldAge }
