// Package push sends what the buffer holds to remote-write receivers.
package push

import (
	"context"
	"slices"
	"sync"
	"time"

	"headend-agent/internal/metric"
)

// Source is where a sender's samples come from: a destination's cursor in the buffer. Each lane has a goroutine of its own.
type Source interface {
	// Next waits for samples and returns the oldest of a lane; it removes nothing. The sender may reorder Batch.Series.
	Next(context.Context, metric.Limit) (*metric.Batch, error)
	// Ack tells what became of the batch that Next returned last to the lane.
	Ack(*metric.Batch, metric.Outcome)
	// Fail tells that an attempt failed and will be made again; answerLost that the receiver may have some of the batch
	// nevertheless.
	Fail(b *metric.Batch, answerLost bool)
	// Note and SetNote keep a text of at most 64 bytes over restarts.
	Note() string
	SetNote(string)
	// Pending returns how many samples wait, and since when the oldest does.
	Pending() (samples int, age time.Duration)
}

// Sender delivers to one destination: with order fifo by one lane, with live_first by two, one request in flight in each.
type Sender struct {
	cfg      Config
	source   *marked
	wall     func() time.Time
	random   func() float64
	lanes    []*lane
	receiver receiver
	backoff  backoff
	pace     pace
	suspects suspects
	metadata metadata
	stats    stats
	report   reporter
}

const (
	firstFlush = 100 * time.Millisecond
	lastDrain  = 5 * time.Second        // bounds the sending that goes on after a stop
	lookTime   = 200 * time.Millisecond // of waiting for something to drain
)

// New makes the sender of a destination. Errors are about the configuration.
func New(cfg Config, source Source, parts Parts) (*Sender, error) {
	parts = parts.withDefaults()
	s := &Sender{
		cfg: cfg, source: &marked{source, markOf(sortedLabels(parts.External))}, wall: parts.Wall, random: parts.Random,
		receiver: receiver{negotiation: newNegotiation(cfg), wall: parts.Wall}, backoff: backoff{random: parts.Random},
		pace:   pace{rate: float64(cfg.BacklogBytesPerSecond), random: parts.Random},
		report: reporter{log: parts.Log.With("destination", cfg.Destination())},
	}
	kinds := []metric.Lane{metric.Oldest}
	if cfg.Order == OrderLiveFirst {
		kinds = append(kinds, metric.Live)
	}
	for _, kind := range kinds {
		c, err := newClient(cfg, parts)
		if err != nil {
			return nil, err
		}
		s.lanes = append(s.lanes, &lane{s: s, kind: kind, client: c, builder: newBuilder(newShaper(parts.External, cfg.WriteRelabelConfigs))})
	}
	return s, nil
}

// Run sends until ctx ends, and then what is left for as long as lastDrain, but not where the destination is in trouble.
// What is not acknowledged stays in the source.
func (s *Sender) Run(ctx context.Context) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a request in flight is not cut by the stop itself
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastDrain, cancel) })()
	s.receiver.recall(s.source.Note(), s.wall())
	s.remark()
	s.report.warnings(s.cfg)
	var lanes sync.WaitGroup
	for _, l := range s.lanes {
		lanes.Go(func() { l.run(ctx, hard) })
	}
	lanes.Wait()
	for _, l := range slices.Backward(s.lanes) { // the live one first
		s.drain(ctx, hard, l)
	}
	for _, l := range s.lanes {
		l.client.end()
	}
}

// drain sends what a lane has left.
func (s *Sender) drain(ctx, hard context.Context, l *lane) {
	for !s.report.inTrouble() && hard.Err() == nil {
		if n, _ := s.source.Pending(); n == 0 {
			return
		}
		look, cancel := context.WithTimeout(hard, lookTime)
		batch, err := s.source.Next(look, metric.Limit{Samples: l.limit(), Lane: l.kind})
		cancel()
		if err != nil || !l.deliver(ctx, hard, batch) {
			return
		}
	}
}

func (s *Sender) circumstances(r *request, a *answer, unsure bool) circumstances {
	n := s.receiver.state()
	return circumstances{
		elective: r.proto == protocolVM && n.elective,
		proto:    r.proto, samples: r.samples, auto: n.auto, askable: r.proto == protocolV1 && (n.proto == protocolV2 || n.askable(s.wall())), confirmed: n.confirmed && n.proto == r.proto,
		unproven: r.proto != protocolV2 && (n.unproven || n.proto == protocolV2 && n.confirmed),
		unsure:   unsure, strict: s.cfg.OnRefusal == RefusalDrop, trusted: s.receiver.trusts(a.kind),
	}
}

// fellBack goes on with 1.0 where the receiver did not know p, and with its plain form where that is the other one.
func (s *Sender) fellBack(p *protocol, status int, why string) {
	if p == protocolVM {
		if s.receiver.giveUpZstd(status) {
			s.report.compression("zstd fails; going on with snappy", why)
		}
	} else if s.receiver.fallBack() {
		s.report.log.Info("the receiver does not know the protocol; going on with 1.0", "protocol", p.name, "answer", why)
	}
	s.source.SetNote(s.receiver.note())
}

// recovered notes an answer about the data: the line and the receiver work. A drain after a long outage begins late.
func (s *Sender) recovered() {
	s.backoff.reset()
	outage, first := s.report.recovered()
	if first {
		_, outage = s.source.Pending()
	}
	if outage >= longOutage {
		s.pace.spread()
	}
}

// judged takes from the end of a batch whether the receiver refuses everything, or all that is old.
func (s *Sender) judged(o metric.Outcome, b *metric.Batch) {
	s.stats.batch(b, o)
	switch {
	case o.Delivered > 0:
		s.receiver.refusedWhole(false, false)
	case o.Refused > 0:
		s.receiver.refusedWhole(true, s.isOld(newest(b.Series)))
		s.suspects.forget()
	}
}
