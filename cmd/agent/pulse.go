package main

import (
	"context"
	"sync"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/push"
)

// pulse is a sender's source that notes when the sender turns to it: what the watchdog goes by.
type pulse struct {
	push.Source
	destination string
	flush       time.Duration

	mu   sync.Mutex
	last time.Time
}

func newPulse(destination string, s push.Source, flush time.Duration) *pulse {
	return &pulse{Source: s, destination: destination, flush: flush, last: time.Now()}
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
}

func (p *pulse) Next(ctx context.Context, limit metric.Limit) (*metric.Batch, error) {
	p.beat()
	defer p.beat()
	return p.Source.Next(ctx, limit)
}

func (p *pulse) Ack(b *metric.Batch, o metric.Outcome) {
	p.beat()
	p.Source.Ack(b, o)
}

func (p *pulse) Fail(b *metric.Batch, answerLost bool) {
	p.beat()
	p.Source.Fail(b, answerLost)
}

// idle returns for how long the sender has left alone samples that wait for it.
func (p *pulse) idle() time.Duration {
	n, age := p.Source.Pending()
	if n == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return min(age, time.Since(p.last))
}
