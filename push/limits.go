package push

import "time"

// What a request holds at most. The sizes fit every receiver that is known to have a limit.
const (
	maxSamples = 40_000  // but see protocol
	maxSeries  = 10_000  // of a request
	maxPacked  = 900_000 // bytes of a body; Amazon's and Azure's services take 1 MB
	maxBody    = 8 << 20 // bytes of a body before compression
	minPacked  = 256     // bytes of a body that every receiver and line must take
	maxHelp    = 512     // bytes of HELP
)

// A batch of a backlog holds a request's samples, or a few of each series: the labels of a series take as much of the line as many
// samples do, and the way to a receiver far away as much time as many series.
const (
	fewSamples = 5
	maxBatch   = 3 * maxSamples * 99 / 100 // three requests: a series is not cut in two
)

// limits are the sizes that the receiver, and the line to it, are known to take.
type limits struct {
	learned int       // bytes that the receiver takes, after a 413; 0: none learned
	until   time.Time // when that is forgotten
	line    int       // bytes that the line takes within the time limit, after a time-out; 0: none learned
	ratio   float64   // of the last request, decoded to compressed
}

// packed is the bound of a body.
func (l *limits) packed() int {
	n := maxPacked
	for _, m := range []int{l.learned, l.line} {
		if m > 0 {
			n = min(n, m)
		}
	}
	return n
}

// body is the bound before compression, so chosen that the compressed body will most likely do.
func (l *limits) body() int {
	if l.ratio == 0 {
		return maxBody
	}
	return max(minPacked, min(maxBody, int(0.95*l.ratio*float64(l.packed()))))
}

// measured notes how well a body was compressed.
func (l *limits) measured(body, packed int) {
	if packed > 0 {
		l.ratio = float64(body) / float64(packed)
	}
}

// tooLarge takes from a 413 that half of a body may do.
func (l *limits) tooLarge(packed int, now time.Time) {
	l.learned, l.until = max(minPacked, packed/2), now.Add(askAgain)
}

// tooSlow takes from a time-out that the line is too thin for a body.
func (l *limits) tooSlow(packed int) { l.line = max(minPacked, packed/2) }

// inTime lets requests grow again when a large one took a small part of the time limit.
func (l *limits) inTime(packed int, took, timeout time.Duration) {
	if l.line == 0 || packed < l.line/2 || took > timeout/4 {
		return
	}
	if l.line *= 2; l.line >= maxPacked {
		l.line = 0
	}
}
