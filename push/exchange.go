package push

import (
	"fmt"
	"net/http"
	"time"
)

// past is what earlier attempts have left open about samples: whether the receiver has them.
type past struct {
	lost   bool // an answer was lost
	silent bool // an answer said that all is well, but not so that it could be believed
}

func (p past) open() bool { return p.lost || p.silent }

// exchange posts a request until there is an answer that is not to be tried again, or until a smaller request is to take its
// place. The verdict retry means that there is none: hard ended, or soft while waiting, or the times of the batch are outdated.
// p tells, and is told, what attempts have left open.
func (l *lane) exchange(r *request, p *past) verdict {
	s := l.s
	fails := 0 // that may be due to the size
	for attempt := 0; ; attempt++ {
		if !s.backoff.wait(l.soft) || !l.paced() {
			return verdict{kind: retry}
		}
		if l.outdated = l.isOutdated(); l.outdated {
			return verdict{kind: retry}
		}
		s.stats.request(r.samples, attempt > 0, p.open())
		timeout := l.timeout()
		a := l.client.post(l.hard, r.proto, r.packed, timeout)
		p.lost = p.lost || a.lost || a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout
		if a.status == 0 && l.hard.Err() != nil {
			l.unsure = l.unsure || p.open()
			return verdict{kind: retry}
		}
		l.timedOut(&a)
		if l.client.learn(&a, attempt > 0) {
			s.report.idle(l.client.idle.shortest, l.client.idle.limit)
		}
		s.stats.answer(a, len(r.packed))
		if a.mayBeSize() {
			fails++
		}
		v := judge(a, s.circumstances(r, &a, p.lost))
		if v.kind == doubted {
			v = l.identify(&a, r)
			v.silent = v.kind != accepted
		}
		p.silent = p.silent || v.silent
		l.unsure = l.unsure || p.open()
		v = s.learn(&a, v, r, fails)
		if v.kind != retry && v.kind != smaller && v.longest == 0 {
			if !v.silent && v.kind != fallBack && v.kind != askV2 {
				s.recovered()
			}
			if v.kind == accepted && l.backlog {
				s.pace.sent(a.started, len(r.packed), r.span)
			}
			return v
		}
		if v.longest > 0 { // but a body that is too large is cut at once
			s.report.trouble(a.class, v)
			l.failed(a, v)
		}
		if v.kind != retry {
			return v
		}
	}
}

// paced puts a request of the backlog off. It returns false when soft ended first, unless a part of the batch has been judged: were it
// given back, that would come again with the rest.
func (l *lane) paced() bool {
	return !l.backlog || sleep(l.soft, l.s.pace.delay()) || l.out.Delivered+l.out.Refused+l.out.Uncertain > 0
}

// timeout is how long the next request may take: up to four times what is configured, where answers do not come in time. The line
// may be slow, and a request that is given up may be one that the receiver has.
func (l *lane) timeout() time.Duration {
	return min(max(1, l.patience), mostPatience) * time.Duration(l.s.cfg.RemoteTimeout)
}

// mostPatience is a factor.
const mostPatience = 4

// timedOut has the next request wait for longer.
func (l *lane) timedOut(a *answer) {
	switch {
	case a.status != 0:
		l.patience = 1
	case a.class == "timeout" && !a.unheard:
		l.patience = min(2*max(1, l.patience), mostPatience)
	}
}

// learn takes from an answer what it tells about the receiver and the line, and returns what is to be done in view of that.
func (s *Sender) learn(a *answer, v verdict, r *request, fails int) verdict {
	if a.dated {
		s.report.clock(a.ahead)
	}
	if r.proto == protocolV1 && a.status > 0 && a.status/100 != 2 {
		s.receiver.acquitZstd(a.status)
	}
	switch {
	case v.kind == smaller:
		v = s.receiver.tooLarge(r, v)
	case v.kind == accepted:
		if r.proto != protocolV2 || a.written >= 0 {
			if s.receiver.confirm(r.proto) {
				s.report.log.Info("remote write has a protocol that the receiver knows", "protocol", r.proto.name)
			}
		}
		second := int(s.cfg.BacklogBytesPerSecond) // of the rate that does not fight the video
		s.receiver.took(r, a.took, time.Duration(s.cfg.RemoteTimeout), second)
	case v.kind == retry && a.mayBeSize() && s.receiver.failed(r, a, fails):
		v.kind = smaller
	}
	s.report.size(s.receiver.reduced(r.proto), len(r.packed), r.samples, v.why)
	if s.receiver.changed() {
		s.source.SetNote(s.receiver.note())
	}
	return v
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

// mostLarge is how many bodies in a row may be too large until the next one waits.
const mostLarge = 3

// tooLarge decides about a request that was too large for the receiver.
func (r *receiver) tooLarge(req *request, v verdict) verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	packed, taken := len(req.packed), r.limits.bytes.taken
	if req.samples == 1 && taken > 0 && packed > max(taken, leastPacked) {
		v.kind = tooLarge
		return v
	}
	times := r.limits.tooLarge(req, time.Now())
	switch {
	case req.samples == 1 || req.samples <= fewSamples && packed <= leastPacked: // no receiver has so small a limit: something is wrong
		v.longest = backoffWrong
		v.why = fmt.Sprintf("even %d samples in %d bytes are too much: %s", req.samples, packed, v.why)
	case times > mostLarge:
		v.longest = backoffBusy
	}
	if req.samples == 1 {
		v.kind = retry
	}
	return v
}
