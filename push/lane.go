package push

import (
	"context"
	"time"

	"headend-agent/internal/metric"
)

// lane sends one batch at a time. A sender has one, or two with order live_first.
type lane struct {
	s       *Sender
	kind    metric.Lane
	client  *client
	builder *builder

	width    int           // series of the last batch
	patience time.Duration // by what factor the time limit is stretched; 0: by none

	// Of the batch in hand.
	soft, hard context.Context
	batch      *metric.Batch
	out        metric.Outcome
	unsure     bool // some request of it may have got through unseen
	outdated   bool // its times have changed before any of it went out
	backlog    bool
	budget     int  // refusals that may still go into finding out what is refused
	doubtful   bool // what is refused now may have been taken before
}

// run takes batches until ctx ends, or until a batch cannot be brought to its end before hard does.
func (l *lane) run(ctx, hard context.Context) {
	// The first flush comes at once. Later a round waits a little less than the interval: where that equals the probes', the
	// next round then has a request of its own instead of being cut in two.
	linger := firstFlush
	for {
		batch, err := l.s.source.Next(ctx, metric.Limit{Samples: l.limit(), Lane: l.kind, Linger: linger})
		if err != nil || !l.deliver(ctx, hard, batch) {
			return
		}
		l.betweenBatches(ctx)
		linger = time.Duration(l.s.cfg.FlushInterval) * 9 / 10
	}
}

// limit is how many samples the next batch may hold: what a request holds, or a few of each series that the last batch had, where
// as many wait. Fresh samples wait behind a batch, so where requests have become small, it has no more than a few of those.
func (l *lane) limit() int {
	room := l.s.receiver.room()
	few := perSeries * l.width
	most := room
	if waiting, _ := l.s.source.Pending(); waiting >= few {
		most = max(room, few)
	}
	return min(most, fewRequests*room, maxBatch)
}

// deliver sends a batch until the receiver has judged all of it, and acknowledges it, or gives it back because its times have
// changed. It returns false when hard ended first, or soft while it waited for another attempt.
func (l *lane) deliver(soft, hard context.Context, batch *metric.Batch) bool {
	l.soft, l.hard, l.batch, l.out, l.unsure, l.outdated = soft, hard, batch, metric.Outcome{}, batch.Unsure, false
	l.width = len(batch.Series)
	pending, age := l.s.source.Pending()
	l.backlog = l.kind == metric.Oldest && pending > batch.Count && age > 2*time.Duration(l.s.cfg.FlushInterval)
	clean, suspects := l.sort(batch.Series)
	if l.s.receiver.state().proto != protocolV2 {
		l.s.metadata.note(clean, time.Now())
		l.s.metadata.note(suspects, time.Now())
	}
	done := l.skipOld(&clean, &suspects) && l.send(clean) && l.send(suspects)
	l.builder.rest()
	if !done {
		l.s.source.Fail(batch, l.unsure || l.out.Delivered > 0)
		return l.outdated
	}
	l.s.judged(l.out, batch)
	l.s.source.Ack(batch, l.out)
	return true
}

// sort moves the series that are to be sent to the front of the batch, those under suspicion behind the others, and counts the rest.
func (l *lane) sort(series []metric.Samples) (clean, suspects []metric.Samples) {
	if len(l.builder.shaper.rules) == 0 && l.s.suspects.empty() {
		return series, nil
	}
	now := time.Now()
	n, end := 0, len(series)
	for i := 0; i < end; {
		ref := series[i].Ref
		ls, _ := l.builder.shaper.labels(ref)
		how := l.s.suspects.of(ref, now)
		switch {
		case len(ls) == 0:
			l.drop("relabel", len(series[i].Points))
		case how == muted:
			l.drop("series_refused", len(series[i].Points))
		case how == unknown:
			series[n], series[i] = series[i], series[n]
			n++
			i++
			continue
		default:
			i++
			continue
		}
		end--
		series[i], series[end] = series[end], series[i]
	}
	return series[:n], series[n:end]
}

func (l *lane) drop(reason string, samples int) {
	if l.out.Dropped == nil {
		l.out.Dropped = map[string]int{}
	}
	l.out.Dropped[reason] += samples
}

// send brings every sample of a set to its end, or returns false as deliver does. What is too large by itself goes last: by then the
// receiver has shown what it takes.
func (l *lane) send(set []metric.Samples) bool {
	late, ok := l.sendInTurn(set, false)
	if ok {
		_, ok = l.sendInTurn(late, true)
	}
	return ok
}

// sendInTurn is send, but unless all is to be sent it returns the samples that are too large by themselves.
func (l *lane) sendInTurn(set []metric.Samples, all bool) (large []metric.Samples, ok bool) {
	known, open := 0, past{}    // what is left open about the first series, and how many they are
	var pieces []metric.Samples // of the first series where it is too large, the newest first
	for len(set) > 0 {
		part, p := set, past{}
		if known > 0 { // they go apart from the others
			part, p = set[:known], open
		}
		if n := len(pieces); n > 0 {
			part = pieces[n-1:]
		}
		p.lost = p.lost || l.batch.Unsure
		r, over := l.s.receiver.build(l.builder, part)
		done := 0
		switch {
		case over && r.samples > 1:
			a, b := halves(part[:1])
			pieces = append(pieces[:max(0, len(pieces)-1)], b[0], a[0])
			continue
		case over && known == 0 && !all:
			large, done = append(large, part[0]), 1
		default:
			if done, ok = l.request(part[:r.taken], &r, &p); !ok {
				return nil, false
			}
			if p.open() {
				known, open = max(known, r.taken), p
			}
		}
		if n := len(pieces); n > 0 && done > 0 {
			if pieces = pieces[:n-1]; n > 1 {
				continue
			}
		}
		set, known = set[done:], max(0, known-done)
	}
	return large, true
}

// request sends a request that was made of a set. It returns how many series have come to their end, or false as deliver does.
func (l *lane) request(set []metric.Samples, r *request, p *past) (done int, ok bool) {
	v := l.exchange(r, p)
	switch v.kind {
	case retry:
		return 0, false
	case smaller: // the next one is built to the new size
		return 0, true
	case fallBack:
		l.s.fellBack(r.proto, v.status, v.why)
		return 0, true
	case askV2:
		l.s.receiver.askAgain()
		return 0, true
	case tryV1:
		return l.tryV1(set, v, p)
	case divide:
		return len(set), l.divide(set, v, *p)
	case tooLarge:
		l.drop("too_large", r.samples)
	case uncertain:
		l.out.Delivered += v.written
		l.out.Uncertain += r.samples - v.written
	case dropped:
		l.out.Refused += r.samples
	case accepted:
		l.out.Delivered += v.written
		l.out.Refused += r.samples - v.written
		l.s.suspects.accepted(set)
	}
	if v.why != "" {
		l.s.report.refusal(v.why)
	}
	return len(set), true
}

// tryV1 sends, as 1.0, what a receiver that knew 2.0 refused in a way in which those answer that do not. Where that is accepted, the
// receiver has been replaced by an older one; where it is refused too, the samples are to blame. It returns as request does.
func (l *lane) tryV1(set []metric.Samples, v verdict, p *past) (done int, ok bool) {
	for again := (verdict{kind: smaller}); again.kind == smaller && !l.s.receiver.refusesAll(); {
		r, over := l.s.receiver.buildAs(l.builder, set, protocolV1)
		if over {
			break
		}
		again = l.exchange(&r, p)
		switch again.kind {
		case retry:
			return 0, false
		case accepted:
			l.s.fellBack(protocolV2, v.status, v.why)
			l.out.Delivered += r.samples
			return r.taken, true
		}
	}
	if p.lost {
		l.out.Uncertain += count(set)
		l.s.report.refusal(v.why)
		return len(set), true
	}
	return len(set), l.divide(set, v, *p)
}

func count(set []metric.Samples) int {
	n := 0
	for i := range set {
		n += len(set[i].Points)
	}
	return n
}
