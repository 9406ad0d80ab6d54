package push

import (
	"time"

	"headend-agent/internal/metric"
)

// maxDivide bounds the requests that one refusal may cost, the refused one included. One poisoned sample among 10,000 takes 14 to
// find, one to be sure of it, and two for what is left.
const maxDivide = 32

// divide finds out what of a refused set the receiver does not want, and counts that; the rest is delivered. It returns false as
// deliver does.
func (l *lane) divide(set []metric.Samples, v verdict) bool {
	l.s.report.refusal(v.why)
	if l.s.receiver.refusesAll() {
		l.out.Refused += count(set)
		return true
	}
	l.budget = maxDivide - 1
	left, cut, ok := l.cutOld(set)
	if !ok {
		return false
	}
	if cut { // what is left has not been refused yet
		l.s.report.tooOld()
		var taken answerKind
		if taken, ok = l.try(left); !ok {
			return false
		}
		if taken == yes {
			return true
		}
	}
	if len(left) > 0 {
		if left, ok = l.isolate(left); !ok {
			return false
		}
	}
	return l.halve(left)
}

type answerKind int

const (
	yes answerKind = iota // judged, and counted: delivered, or else uncertain
	no                    // refused, or not asked for want of budget; not counted
)

// try sends a set in one request.
func (l *lane) try(set []metric.Samples) (k answerKind, ok bool) {
	if len(set) == 0 {
		return yes, true
	}
	unsure := false
	for l.budget > 0 {
		l.budget--
		r, over := l.s.receiver.build(l.builder, set)
		if r.taken < len(set) || over > 0 && r.samples > 1 { // the limits have changed under way
			return l.tryHalves(set)
		}
		v := l.exchange(&r, &unsure)
		switch v.kind {
		case retry:
			return no, false
		case fallBack:
			l.s.fellBack(r.proto, v.why)
			continue
		case accepted:
			if v.written == 0 {
				return no, true
			}
			l.out.Delivered += v.written
			l.out.Refused += r.samples - v.written
			l.s.suspects.accepted(set)
			return yes, true
		case smaller:
			if r.samples > 1 {
				return l.tryHalves(set)
			}
		case uncertain:
			l.out.Delivered += v.written
			l.out.Uncertain += r.samples - v.written
			return yes, true
		case tryV1:
			if unsure {
				l.out.Uncertain += r.samples
				return yes, true
			}
		}
		return no, true
	}
	return no, true
}

// tryHalves is try for a set that turns out to be too large for one request. If only a part of it stands refused, that is counted.
func (l *lane) tryHalves(set []metric.Samples) (k answerKind, ok bool) {
	a, b := halves(set)
	ka, ok := l.try(a)
	if !ok {
		return no, false
	}
	kb, ok := l.try(b)
	switch {
	case !ok:
		return no, false
	case ka == no && kb == no:
		return no, true
	case ka == no:
		l.out.Refused += count(a)
	case kb == no:
		l.out.Refused += count(b)
	}
	return yes, true
}

// isolate finds the first refused sample of a set that was refused, by halving; what it passes over on the way is sent in
// one request at the end. It returns what is then still refused.
func (l *lane) isolate(bad []metric.Samples) (rest []metric.Samples, ok bool) {
	var later []metric.Samples // of other series, not refused yet
	for len(bad) > 1 {
		a, b := halves(bad)
		k, ok := l.try(a)
		if !ok {
			return nil, false
		}
		if k == no {
			bad, later = a, append(later, b...)
		} else {
			bad = b
		}
	}
	if ok := l.isolateSample(bad); !ok {
		return nil, false
	}
	switch k, ok := l.try(later); {
	case !ok:
		return nil, false
	case k == no:
		return later, true
	}
	return nil, true
}

// isolateSample finds the first refused sample of a series that was refused, and then tries those after it. In time's order, always.
func (l *lane) isolateSample(bad []metric.Samples) (ok bool) {
	series := bad
	delivered := false
	var after []metric.Samples // of the series, the newest first
	for len(bad[0].Points) > 1 {
		a, b := halves(bad)
		k, ok := l.try(a)
		if !ok {
			return false
		}
		if k == no {
			bad, after = a, append(after, b[0])
		} else {
			bad, delivered = b, true
		}
	}
	asked := l.budget > 0
	k, ok := l.try(bad)
	if !ok {
		return false
	}
	if k == no {
		l.out.Refused++
	} else {
		delivered = true
	}
	if len(after) > 0 {
		rest := tail(series[0], count(after))
		switch k, ok = l.try(rest); {
		case !ok:
			return false
		case k == no:
			l.out.Refused += count(rest)
		default:
			delivered = true
		}
	}
	if asked && !delivered {
		l.s.suspects.refused(series, time.Now())
	}
	return true
}

// halve gives the rest of the budget to a set that was refused, always to its largest refused part. What stands refused in the end is
// counted and put under suspicion.
func (l *lane) halve(set []metric.Samples) bool {
	parts := [][]metric.Samples{set}
	for l.budget > 1 && len(parts) > 0 {
		most := 0
		for i := range parts {
			if len(parts[i]) > len(parts[most]) {
				most = i
			}
		}
		if len(parts[most]) < 2 {
			break
		}
		a, b := halves(parts[most])
		parts[most] = parts[len(parts)-1]
		parts = parts[:len(parts)-1]
		for _, half := range [][]metric.Samples{a, b} {
			switch k, ok := l.try(half); {
			case !ok:
				return false
			case k == no:
				parts = append(parts, half)
			}
		}
	}
	for _, p := range parts {
		if len(p) > 0 {
			l.out.Refused += count(p)
			l.s.suspects.refused(p, time.Now())
		}
	}
	return true
}

// halves cuts a set in two: between series, or within the only one, the older samples first.
func halves(set []metric.Samples) (a, b []metric.Samples) {
	if n := len(set) / 2; n > 0 {
		return set[:n:n], set[n:]
	}
	n := len(set[0].Points) / 2
	return head(set[0], n), tail(set[0], len(set[0].Points)-n)
}

// head returns the first n samples of a series.
func head(s metric.Samples, n int) []metric.Samples {
	s.Points = s.Points[:n]
	return []metric.Samples{s}
}

// tail returns the last n samples of a series.
func tail(s metric.Samples, n int) []metric.Samples {
	s.Points = s.Points[len(s.Points)-n:]
	return []metric.Samples{s}
}
