package push

import (
	"sync"
	"time"
)

// pace keeps the sending of a backlog from filling the line, and from flattening a receiver to which a fleet returns.
type pace struct {
	mu     sync.Mutex
	rate   float64 // bytes/s; 0: no limit
	slow   float64 // by which factor the receiver's 429s have slowed the drain down
	next   time.Time
	spent  time.Duration // waited, in all
	random func() float64
}

const (
	longOutage = 10 * time.Minute // after which a drain begins late
	maxSpread  = 30 * time.Second // by how much
	maxSlow    = 64
)

// spread puts the drain off by a random time.
func (p *pace) spread() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = later(p.next, time.Now().Add(time.Duration(p.random()*float64(maxSpread))))
}

// sent notes that a request of the backlog, with samples over a span of time, was accepted. The next one is put off according to the
// rate, but never by more than half of the span: a backlog always shrinks, whatever rate was configured.
func (p *pace) sent(started time.Time, bytes int, span time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	slow := max(1, p.slow)
	gap := time.Since(started) // the pace that the receiver has by itself
	if slow == 1 {
		gap = 0
	}
	if p.rate > 0 {
		gap = max(gap, min(time.Duration(float64(bytes)/p.rate*float64(time.Second)), span/2))
	}
	p.next = later(p.next, started.Add(time.Duration(float64(gap)*slow)))
	p.slow = max(1, 0.9*slow)
}

// tooFast halves the rate, after a 429; it recovers as requests are accepted.
func (p *pace) tooFast() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slow = min(maxSlow, 2*max(1, p.slow))
}

// delay returns how long a request of the backlog must wait now, and counts that.
func (p *pace) delay() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := max(0, time.Until(p.next))
	p.spent += d
	return d
}

// waited returns how long requests of the backlog have been put off, in all.
func (p *pace) waited() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spent
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
