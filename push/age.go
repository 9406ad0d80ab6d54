package push

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"headend-agent/internal/metric"
)

// A receiver without a window for late samples refuses all that is older than some age. Which age that is, a few requests of one
// sample each find out, of a different series each: where one is accepted, older ones of that series are late by themselves.

// oldAge is the age below which a refusal is not taken to be about age.
const oldAge = 5 * time.Minute

// probeAge is for a receiver that has refused whole batches of old samples: the newest samples of two series stand for a batch. If
// both are refused, so are all; nothing is left of the sets then. It returns false as deliver does.
func (l *lane) probeAge(clean, suspects *[]metric.Samples) bool {
	set := *clean
	if len(set) == 0 || l.batch.Unsure || !l.s.receiver.refusesOld() || !l.s.isOld(newest(set)) {
		return true
	}
	l.budget, l.doubtful = ageWitnesses, false
	first := int(l.s.random() * float64(len(set)))
	for n := range min(ageWitnesses, len(set)) { // one alone may be refused for something else
		i := (first + n*len(set)/ageWitnesses) % len(set)
		refused, ok := l.try(tail(set[i], 1))
		if !ok {
			return false
		}
		if len(refused) > 0 {
			continue
		}
		l.s.receiver.refusedWhole(false, false)
		if n := len(set[i].Points) - 1; n > 0 {
			l.drop("age_probe", n)
		}
		last := len(set) - 1
		set[i], set[last] = set[last], set[i]
		*clean = set[:last]
		return true
	}
	l.out.Refused += count(set) + count(*suspects)
	*clean, *suspects = nil, nil
	return true
}

// ageWitnesses is how many series are asked whether their samples are too old before all are thought to be.
const ageWitnesses = 2

// minProbed is the number of series below which age is not asked for: there are too few to spare.
const minProbed = 4

// maxProbes bounds the requests that look for the age between one that is refused and one that is not.
const maxProbes = 8

// cutOld takes from a refused set what is refused for its age, and counts it. cut tells whether there was such a thing.
func (l *lane) cutOld(set []metric.Samples) (rest []metric.Samples, cut, ok bool) {
	if len(set) < minProbed || !l.s.isOld(oldest(set)) {
		return set, false, true
	}
	set = slices.Clone(set)
	for i := range set { // not always the same ones: they may be to blame
		j := i + int(l.s.random()*float64(len(set)-i))
		set[i], set[j] = set[j], set[i]
	}
	slices.SortStableFunc(set, func(a, b metric.Samples) int { return cmp.Compare(a.Points[0].TimeMs, b.Points[0].TimeMs) })
	for i := range 2 { // the oldest samples: if one of two is accepted, age is not it
		refused, ok := l.try(head(set[i], 1))
		if !ok {
			return nil, false, false
		}
		if len(refused) == 0 {
			set[i] = tail(set[i], len(set[i].Points)-1)[0]
			if i > 0 {
				l.refuse(1) // the sample before, by itself
				set[0] = tail(set[0], len(set[0].Points)-1)[0]
			}
			return occupied(set), false, true
		}
	}
	refused, taken := oldest(set), newest(set)+1
	for n, at := 2, newest(set); n < min(len(set), 2+maxProbes); n++ {
		k := sort.Search(len(set[n].Points), func(k int) bool { return set[n].Points[k].TimeMs >= at })
		if k == len(set[n].Points) || set[n].Points[k].TimeMs >= taken {
			k--
		}
		if k < 0 || set[n].Points[k].TimeMs <= refused {
			break
		}
		at = set[n].Points[k].TimeMs
		answer, ok := l.try([]metric.Samples{{Ref: set[n].Ref, StartMs: set[n].StartMs, Points: set[n].Points[k : k+1]}})
		if !ok {
			return nil, false, false
		}
		if len(answer) > 0 {
			refused = at
		} else {
			taken = at
			l.passOver(&set[n], k, refused)
		}
		at = refused + (taken-refused)/2
	}
	for i := range set {
		k := sort.Search(len(set[i].Points), func(k int) bool { return set[i].Points[k].TimeMs > refused })
		l.refuse(k)
		set[i] = tail(set[i], len(set[i].Points)-k)[0]
	}
	return occupied(set), true, true
}

// passOver takes the first samples of a series, up to the k'th, which was accepted, out of it: those before are late now.
func (l *lane) passOver(s *metric.Samples, k int, refused int64) {
	for _, x := range s.Points[:k] {
		if x.TimeMs <= refused {
			l.refuse(1)
		} else {
			l.drop("age_probe", 1)
		}
	}
	*s = tail(*s, len(s.Points)-k-1)[0]
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
