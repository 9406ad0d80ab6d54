package agent

import (
	"context"
	"sync"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/push"
)

// heartbeat is a sender's source that notes when the sender turns to it. The watchdog asks it whether the sender is alive.
type heartbeat struct {
	push.Source

	mu   sync.Mutex
	last time.Time
}

func newHeartbeat(s push.Source) *heartbeat { return &heartbeat{Source: s, last: time.Now()} }

func (h *heartbeat) beat() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = time.Now()
}

func (h *heartbeat) Next(ctx context.Context, limit metric.Limit) (*metric.Batch, error) {
	h.beat()
	defer h.beat()
	return h.Source.Next(ctx, limit)
}

func (h *heartbeat) Ack(b *metric.Batch, o metric.Outcome) {
	h.beat()
	h.Source.Ack(b, o)
}

func (h *heartbeat) Fail(b *metric.Batch, answerLost bool) {
	h.beat()
	h.Source.Fail(b, answerLost)
}

// idle returns for how long the sender has left alone samples that wait for it.
func (h *heartbeat) idle() time.Duration {
	n, age := h.Source.Pending()
	if n == 0 {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return min(age, time.Since(h.last))
}
