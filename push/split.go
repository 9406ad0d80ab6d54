package push

import (
	"slices"
	"time"

	"headend-agent/internal/metric"
)

// maxDivide bounds how often a receiver is asked to no avail because of one refusal, which counts too. What it accepts is no burden:
// it would have come anyway. One poisoned sample among 10,000 takes 14 requests to find, some of them accepted, one to be sure of it,
// and two for what is left.
const maxDivide = 32

// divide finds out what of a refused set the receiver does not want, and counts that; the rest is delivered. It returns false as
// deliver does. What p leaves open about the set decides how that is counted.
func (l *lane) divide(set []metric.Samples, v verdict, p past) bool {
	l.s.report.refusal(v.why)
	l.doubtful = p.open()
	if l.s.receiver.refusesAll() {
		l.refuse(count(set))
		return true
	}
	l.s.receiver.looks()
	l.budget = maxDivide - 1
	left, cut, ok := l.cutOld(set)
	if !ok {
		return false
	}
	if cut { // what is left has not been refused yet
		if left, ok = l.try(left); !ok {
			return false
		}
	}
	if len(left) > 0 {
		if left, ok = l.isolate(left); !ok {
			return false
		}
	}
	return l.halve(left)
}

// refuse counts samples that the receiver refuses.
func (l *lane) refuse(n int) {
	if l.doubtful { // because it has them, perhaps
		l.out.Uncertain += n
	} else {
		l.out.Refused += n
	}
}

// try sends a set; a refusal is at the cost of the budget. It counts what is judged, and returns what stands refused, or was not
// asked for want of budget.
func (l *lane) try(set []metric.Samples) (refused []metric.Samples, ok bool) {
	if len(set) == 0 {
		return nil, true
	}
	if l.budget <= 0 {
		return set, true
	}
	if refused, ok = l.ask(set, past{}); len(refused) > 0 {
		l.budget--
	}
	return refused, ok
}

// ask is try without a budget: a set that is too large for one request, since the limits have changed, is asked for in parts.
func (l *lane) ask(set []metric.Samples, p past) (refused []metric.Samples, ok bool) {
	for {
		r, over := l.s.receiver.build(l.builder, set)
		if r.taken < len(set) || over && r.samples > 1 {
			return l.askHalves(set, p)
		}
		switch v := l.exchange(&r, &p); v.kind {
		case retry:
			return nil, false
		case fallBack:
			l.s.fellBack(r.proto, v.status, v.why)
			continue
		case askV2:
			l.s.receiver.askAgain()
			continue
		case smaller:
			return l.askHalves(set, p)
		case tooLarge:
			l.drop("too_large", r.samples)
			return nil, true
		case accepted:
			if v.written == 0 {
				return set, true
			}
			l.out.Delivered += v.written
			l.refuse(r.samples - v.written)
			l.s.suspects.accepted(set)
			return nil, true
		case uncertain:
			l.out.Delivered += v.written
			l.out.Uncertain += r.samples - v.written
			return nil, true
		case tryV1:
			if p.lost {
				l.out.Uncertain += r.samples
				return nil, true
			}
		}
		return set, true
	}
}

func (l *lane) askHalves(set []metric.Samples, p past) (refused []metric.Samples, ok bool) {
	a, b := halves(set)
	for _, half := range [][]metric.Samples{a, b} {
		part, ok := l.ask(half, p)
		if !ok {
			return nil, false
		}
		refused = append(refused, part...)
	}
	return refused, true
}

// isolate finds the first refused sample of a set that was refused, by halving; what it passes over on the way is sent in
// one request at the end. It returns what is then still refused.
func (l *lane) isolate(bad []metric.Samples) (rest []metric.Samples, ok bool) {
	var later []metric.Samples // of other series, not refused yet
	for len(bad) > 1 {
		a, b := halves(bad)
		refused, ok := l.try(a)
		if !ok {
			return nil, false
		}
		if len(refused) > 0 {
			bad, later = refused, append(later, b...)
		} else {
			bad = b
		}
	}
	if ok := l.isolateSample(bad); !ok {
		return nil, false
	}
	return l.try(later)
}

// isolateSample finds the first refused sample of a series that was refused, and then tries those after it. In time's order, always.
func (l *lane) isolateSample(bad []metric.Samples) (ok bool) {
	series := bad
	delivered := false
	var after []metric.Samples // of the series, the newest first
	for len(bad[0].Points) > 1 {
		a, b := halves(bad)
		refused, ok := l.try(a)
		switch {
		case !ok:
			return false
		case len(refused) == 0:
			bad, delivered = b, true
			continue
		}
		after = append(after, b[0])
		for i := len(refused) - 1; i > 0; i-- { // there is more than one where it did not fit into a request
			after = append(after, refused[i])
		}
		bad = refused[:1]
	}
	asked := l.budget > 0
	refused, ok := l.try(bad)
	if !ok {
		return false
	}
	l.refuse(count(refused))
	delivered = delivered || len(refused) == 0
	if len(after) > 0 {
		rest := metric.Samples{Ref: series[0].Ref, StartMs: series[0].StartMs}
		for _, x := range slices.Backward(after) {
			rest.Points = append(rest.Points, x.Points...)
		}
		if refused, ok = l.try([]metric.Samples{rest}); !ok {
			return false
		}
		l.refuse(count(refused))
		delivered = delivered || count(refused) < len(rest.Points)
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
			refused, ok := l.try(half)
			if !ok {
				return false
			}
			if len(refused) > 0 {
				parts = append(parts, refused)
			}
		}
	}
	for _, p := range parts {
		if len(p) > 0 {
			l.refuse(count(p))
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
