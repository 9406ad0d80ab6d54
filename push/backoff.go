package push

import (
	"context"
	"sync"
	"time"
)

// backoff is the one delay of a destination between attempts, shared by its lanes. It doubles, and jitter takes up to 10 % off,
// so that each gap is at least 0.8 of the one before.
type backoff struct {
	mu     sync.Mutex
	last   time.Duration
	failed time.Time // when the last failure was noted
	until  time.Time // no request before
	random func() float64
}

const (
	backoffMin    = time.Second
	backoffNet    = 5 * time.Second  // longest, where no answer came: a returning line is used soon
	backoffBusy   = 30 * time.Second // longest, where the receiver said that it is in trouble
	backoffWrong  = 5 * time.Minute  // longest, where the envelope is wrong; it begins with backoffBusy
	retryAfterMax = 10 * time.Minute
)

// fail notes a failed attempt that began at started. The next one is made after at most longest, or after what the receiver
// asked for. An attempt that began before the last failure was known tells nothing new.
func (b *backoff) fail(started time.Time, longest, asked time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if started.Before(b.failed) && now.Before(b.until) {
		return
	}
	least := backoffMin
	if longest == backoffWrong {
		least = backoffBusy
	}
	b.failed = now
	b.last = min(max(2*b.last, least), longest)
	delay := time.Duration(float64(b.last) * (0.9 + 0.1*b.random()))
	if asked = min(asked, retryAfterMax); asked > delay { // never earlier than asked, and a fleet not all at once
		delay = time.Duration(float64(asked) * (1 + 0.1*b.random()))
	}
	b.until = now.Add(delay)
}

func (b *backoff) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last, b.until = 0, time.Time{}
}

// wait returns when an attempt may be made, or false when ctx ends first.
func (b *backoff) wait(ctx context.Context) bool {
	for {
		b.mu.Lock()
		delay := time.Until(b.until)
		b.mu.Unlock()
		if delay <= 0 {
			return true
		}
		if !sleep(ctx, delay) {
			return false
		}
	}
}

// left returns how long it is until an attempt may be made.
func (b *backoff) left() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(0, time.Until(b.until))
}

// sleep returns after d, or false when ctx ends first; at once where d is not above 0.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	if ctx.Err() != nil {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
