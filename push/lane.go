package push

import (
	"context"
	"net/http"
	"time"

	"headend-agent/internal/metric"
)

// lane sends one batch at a time. A sender has one, or two with order live_first.
type lane struct {
	s       *Sender
	kind    metric.Lane
	client  *client
	builder *builder

	width int // series of the last batch

	// Of the batch in hand.
	soft, hard context.Context
	batch      *metric.Batch
	out        metric.Outcome
	unsure     bool // some request of it may have got through unseen
	outdated   bool // its times have changed before any of it went out
	backlog    bool
	budget     int // requests that may still go into finding out what is refused
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
		linger = time.Duration(l.s.cfg.FlushInterval) * 9 / 10
	}
}

// limit is how many samples the next batch may hold: a few of each series that the last one had, where as many wait.
func (l *lane) limit() int {
	most, few := l.s.receiver.state().proto.samples, fewSamples*l.width
	if waiting, _ := l.s.source.Pending(); waiting >= few {
		most = max(most, few)
	}
	return min(most, maxBatch)
}

// deliver sends a batch until the receiver has judged all of it, and acknowledges it, or gives it back because its times have
// changed. It returns false when hard ended first, or soft while it waited for another attempt.
func (l *lane) deliver(soft, hard context.Context, batch *metric.Batch) bool {
	l.soft, l.hard, l.batch, l.out, l.unsure, l.outdated = soft, hard, batch, metric.Outcome{}, batch.Unsure, false
	l.width = len(batch.Series)
	pending, age := l.s.source.Pending()
	l.backlog = l.kind == metric.Oldest && pending > batch.Count && age > 2*time.Duration(l.s.cfg.FlushInterval)
	clean, suspects := l.sort(batch.Series)
	done := l.probeAge(&clean, &suspects) && l.send(clean) && l.send(suspects)
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

// send brings every sample of a set to its end, or returns false as deliver does.
func (l *lane) send(set []metric.Samples) bool {
	unsure := l.batch.Unsure
	for len(set) > 0 {
		r, over := l.s.receiver.build(l.builder, set)
		if over > 0 && len(set[0].Points) > 1 {
			set = halveFirst(set)
			continue
		}
		v := l.exchange(&r, &unsure)
		part := set[:r.taken]
		switch v.kind {
		case retry:
			return false
		case fallBack:
			l.s.fellBack(r.proto, v.why)
			continue
		case smaller:
			if r.samples > 1 && len(r.packed) > minPacked {
				continue // the next one is built to the new size
			}
			l.drop("too_large", r.samples)
			l.s.report.refusal(v.why)
		case tryV1:
			if !l.tryV1(part, v, &unsure) {
				return false
			}
		case divide:
			if !l.divide(part, v) {
				return false
			}
		case uncertain:
			l.out.Delivered += v.written
			l.out.Uncertain += r.samples - v.written
			l.s.report.refusal(v.why)
		case dropped:
			l.out.Refused += r.samples
			l.s.report.refusal(v.why)
		case accepted:
			l.out.Delivered += v.written
			l.out.Refused += r.samples - v.written
			if v.why != "" {
				l.s.report.refusal(v.why)
			}
			l.s.suspects.accepted(part)
		}
		set = set[r.taken:]
		unsure = l.batch.Unsure
	}
	return true
}

// halveFirst returns the set with its first series in two, the older half first.
func halveFirst(set []metric.Samples) []metric.Samples {
	a, b := halves(set[:1])
	return append([]metric.Samples{a[0], b[0]}, set[1:]...)
}

// tryV1 sends, as 1.0, what a receiver that knew 2.0 refused in a way in which those answer that do not. Where that is accepted, the
// receiver has been replaced by an older one; where it is refused too, the samples are to blame.
func (l *lane) tryV1(part []metric.Samples, v verdict, unsure *bool) bool {
	if !l.s.receiver.refusesAll() {
		r, _ := l.s.receiver.buildAs(l.builder, part, protocolV1)
		if r.taken == len(part) {
			again := l.exchange(&r, unsure)
			switch again.kind {
			case retry:
				return false
			case accepted:
				l.s.fellBack(protocolV2, v.why)
				l.out.Delivered += r.samples
				return true
			}
		}
	}
	if *unsure {
		l.out.Uncertain += count(part)
		l.s.report.refusal(v.why)
		return true
	}
	return l.divide(part, v)
}

// exchange posts a request until there is an answer that is not to be tried again. The verdict retry means that there is
// none: hard ended, or soft while waiting, or the batch is outdated. unsure tells, and is told, whether an attempt may have got through unseen.
func (l *lane) exchange(r *request, unsure *bool) verdict {
	s := l.s
	timeout := time.Duration(s.cfg.RemoteTimeout)
	longest := 4 * timeout
	for attempt := 0; ; attempt++ {
		if !s.backoff.wait(l.soft) || l.backlog && !sleep(l.soft, s.pace.delay()) {
			return verdict{kind: retry}
		}
		if l.outdated = l.isOutdated(); l.outdated {
			return verdict{kind: retry}
		}
		s.stats.request(r.samples, attempt > 0)
		a := l.client.post(l.hard, r.proto, r.packed, timeout)
		if a.lost || a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout {
			*unsure, l.unsure = true, true
		}
		if a.status == 0 && l.hard.Err() != nil {
			return verdict{kind: retry}
		}
		s.stats.answer(a, len(r.packed))
		v := judge(a, s.circumstances(r, *unsure))
		s.learn(a, v, r, timeout)
		switch v.kind {
		case retry:
			s.report.trouble(a.class, v)
			l.failed(a, v)
			if a.slow && !*unsure && r.samples > 1 && len(r.packed) > minPacked {
				return verdict{kind: smaller, why: v.why}
			}
		default:
			s.recovered()
			if v.kind == accepted && l.backlog {
				s.pace.sent(a.started, len(r.packed), r.span)
			}
			return v
		}
		if a.class == "timeout" && timeout < longest { // the line may be slow, and a request that may have got through cannot shrink
			timeout *= 2
		}
	}
}

// failed notes an attempt that is to be made again.
func (l *lane) failed(a answer, v verdict) {
	if a.status == http.StatusTooManyRequests {
		l.s.pace.tooFast()
	} else {
		l.client.stale = true
	}
	l.s.source.Fail(l.batch, l.unsure)
	l.s.backoff.fail(a.started, v.longest, a.retryAfter)
}

func count(set []metric.Samples) int {
	n := 0
	for i := range set {
		n += len(set[i].Points)
	}
	return n
}
