package push

import (
	"math/rand/v2"
	"time"
)

// backoff is the one delay of a destination between attempts. It doubles, and jitter stays within 10 %, so that each gap is
// at least 0.8 of the one before.
type backoff struct {
	last time.Duration
}

const (
	backoffMin    = time.Second
	backoffNet    = 5 * time.Second  // longest, where no answer came: a returning line is used soon
	backoffBusy   = 30 * time.Second // longest, where the receiver said that it is in trouble
	retryAfterMax = 10 * time.Minute
)

// next returns how long to wait before the next attempt: at most longest, or what the receiver asked for.
func (b *backoff) next(longest, asked time.Duration) time.Duration {
	b.last = min(max(2*b.last, backoffMin), longest)
	if asked > b.last {
		return min(asked, retryAfterMax)
	}
	return time.Duration(float64(b.last) * (0.9 + 0.2*rand.Float64()))
}

func (b *backoff) reset() { b.last = 0 }
