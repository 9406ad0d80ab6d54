// Package push sends what the buffer holds to remote-write receivers.
package push

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"headend-agent/internal/metric"
)

// Source is where a sender's samples come from: a destination's cursor in the buffer.
type Source interface {
	// Next waits for samples and returns the oldest; it removes nothing.
	Next(context.Context, metric.Limit) (*metric.Batch, error)
	// Ack tells what became of the batch that Next returned last.
	Ack(*metric.Batch, metric.Outcome)
	// Fail tells that an attempt failed and will be made again; answerLost that the receiver may have the batch nevertheless.
	Fail(b *metric.Batch, answerLost bool)
	// Note and SetNote keep a short text over restarts.
	Note() string
	SetNote(string)
	// Pending returns how many samples wait, and since when the oldest does.
	Pending() (samples int, age time.Duration)
}

// Sender delivers to one destination, in order, one request at a time.
type Sender struct {
	cfg    Config
	source Source
	client *client
	shaper *shaper
	v1     encoderV1
	v2     *encoderV2
	log    *slog.Logger

	proto   protocol
	backoff backoff
	trouble string // the last complaint, logged once
	since   time.Time
	stats   stats
	waiting atomic.Bool
}

const (
	maxSamples = 40_000 // of a batch
	maxSeries  = 10_000 // of a request
	firstFlush = 100 * time.Millisecond
)

// New makes the sender of a destination. external labels are added where a series has none of that name; version names
// the agent to the receiver. Errors are about the configuration.
func New(cfg Config, source Source, external []metric.Label, version string, log *slog.Logger) (*Sender, error) {
	c, err := newClient(cfg, version)
	if err != nil {
		return nil, err
	}
	s := &Sender{
		cfg: cfg, source: source, client: c, shaper: newShaper(external, cfg.WriteRelabelConfigs), v2: newEncoderV2(),
		log: log.With("destination", cfg.Destination()), proto: protocolV2,
	}
	if cfg.ProtobufMessage == MessageV1 {
		s.proto = protocolV1
	}
	return s, nil
}

// Run sends until ctx ends, and then what is left for as long as lastDrain, but not where the destination is in trouble.
// What is not acknowledged stays in the source.
func (s *Sender) Run(ctx context.Context) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a request in flight is not cut by the stop itself
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastDrain, cancel) })()
	// The first flush comes at once. Later a round waits a little less than the interval: where that equals the probes', the
	// next round then has a request of its own instead of being cut in two.
	linger := firstFlush
	for {
		batch, err := s.source.Next(ctx, metric.Limit{Samples: maxSamples, Linger: linger})
		if err != nil {
			break
		}
		if !s.deliver(ctx, hard, batch) {
			return
		}
		linger = time.Duration(s.cfg.FlushInterval) * 9 / 10
	}
	for s.trouble == "" {
		if n, _ := s.source.Pending(); n == 0 {
			return
		}
		batch, err := s.source.Next(hard, metric.Limit{Samples: maxSamples})
		if err != nil || !s.deliver(ctx, hard, batch) {
			return
		}
	}
}

// lastDrain bounds the sending that goes on after a stop.
const lastDrain = 5 * time.Second

// deliver posts a batch until the receiver has judged all of it, and acknowledges it. It returns false when hard ended first, or
// soft while it waited for another attempt.
func (s *Sender) deliver(soft, hard context.Context, batch *metric.Batch) bool {
	var out metric.Outcome
	rest := batch.Series
	for len(rest) > 0 {
		body, samples, taken, cut := s.encode(rest)
		out.Dropped = count(out.Dropped, "relabel", cut)
		if samples > 0 {
			delivered, ok := s.send(soft, hard, batch, body, samples)
			if !ok {
				return false
			}
			if delivered < 0 { // to be encoded anew
				continue
			}
			out.Delivered += delivered
			out.Refused += samples - delivered
		}
		rest = rest[taken:]
	}
	s.source.Ack(batch, out)
	return true
}

func count(m map[string]int, reason string, n int) map[string]int {
	if n > 0 {
		if m == nil {
			m = map[string]int{}
		}
		m[reason] += n
	}
	return m
}

// encode makes the body of one request from the first series. It returns how many samples are in it, how many
// series it took, and how many samples of those the relabelling rules left out.
func (s *Sender) encode(series []metric.Samples) (body []byte, samples, taken, cut int) {
	var e encoder = &s.v1
	if s.proto == protocolV2 {
		e = s.v2
	}
	e.begin()
	for taken = range series {
		if taken == maxSeries {
			return e.finish(), samples, taken, cut
		}
		x := &series[taken]
		labels := s.shaper.labels(x.Ref)
		if len(labels) == 0 {
			cut += len(x.Values)
			continue
		}
		e.add(labels, x)
		samples += len(x.Values)
	}
	return e.finish(), samples, len(series), cut
}

// send posts one body until there is a final answer: how many samples the receiver took, or -1 when the body has to
// be encoded anew. ok is false as deliver's result is.
func (s *Sender) send(soft, hard context.Context, batch *metric.Batch, body []byte, samples int) (delivered int, ok bool) {
	for {
		s.stats.request(samples)
		start := time.Now()
		a := s.client.post(hard, s.proto, body)
		if hard.Err() != nil {
			return 0, false
		}
		s.stats.answer(a, time.Since(start))
		v := judge(a, s.proto, s.cfg.ProtobufMessage == MessageAuto)
		switch v.kind {
		case accepted:
			s.recovered()
			return samples, true
		case refused:
			s.complain(v.why)
			s.backoff.reset()
			return max(0, min(a.written, samples)), true
		case downgrade:
			s.log.Info("the receiver does not take remote write 2.0; going on with 1.0")
			s.proto = protocolV1
			return -1, true
		}
		s.complain(v.why)
		s.source.Fail(batch, a.status == 0)
		delay := s.backoff.next(v.longest, a.retryAfter)
		s.waiting.Store(true)
		timer := time.NewTimer(delay)
		select {
		case <-soft.Done():
			timer.Stop()
			return 0, false
		case <-timer.C:
		}
		s.waiting.Store(false)
	}
}

// complain logs trouble when it changes.
func (s *Sender) complain(why string) {
	if s.trouble == "" {
		s.since = time.Now()
	}
	if why != s.trouble {
		s.log.Warn("remote write does not get through; samples are kept", "reason", why)
	}
	s.trouble = why
}

func (s *Sender) recovered() {
	s.backoff.reset()
	if s.trouble != "" {
		s.log.Info("remote write works again", "after", time.Since(s.since).Round(time.Millisecond))
		s.trouble = ""
	}
}
