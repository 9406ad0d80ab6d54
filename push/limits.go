package push

import "time"

// What a request holds at most. The sizes fit every receiver that is known to have a limit.
const (
	maxSamples = 40_000  // until a receiver has shown that it takes more; see protocol
	maxSeries  = 10_000  // of a request
	maxPacked  = 900_000 // bytes of a body; Amazon's and Azure's services take 1 MB
	maxBody    = 8 << 20 // bytes of a body before compression
	minPacked  = 256     // bytes of a body that every receiver and line must take
	maxHelp    = 512     // bytes of HELP
)

// A batch of a backlog holds a request's samples, or a few of each series: the labels of a series take as much of the line as many
// samples do, and the way to a receiver far away as much time as many series.
const (
	perSeries   = 7
	fewRequests = 8
	maxBatch    = 4 * maxSamples * 99 / 100 // four requests: a series is not cut in two
)

// A receiver that takes full requests gets larger ones: one that is far away takes twice the time for twice as many. More would take
// memory and gain little.
const (
	mostSamples = 2 * maxSamples
	mostBody    = 2 << 20 // bytes before compression, where there are more samples than maxSamples
)

// fewSamples is the size of a request that is no receiver's limit: where even that is too large, it is hardly the size.
const (
	fewSamples    = 100
	cutSmallAfter = 12 // failures of such a request until it is cut nevertheless
)

// A line that has shown nothing yet gets bodies of firstPacked bytes: 1 kB/s carries one within the default time limit. What is
// slow in spite of bodies of leastPacked bytes is not the line.
const (
	firstPacked = 32 << 10
	leastPacked = 8 << 10
)

// limits are the sizes that the receiver, and the line to it, are known to take.
type limits struct {
	samples bound   // of a request
	bytes   bound   // of a body
	line    int     // bytes that the line carries in a quarter of the time limit, as far as shown; 0: nothing was shown yet
	ratio   float64 // of the last request, decoded to compressed
	density float64 // compressed bytes of a sample in the last request that was more than a few; 0: there was none
	kept    int     // the bound of bytes that outlives a restart; 0: none
	large   int     // answers in a row that a body is too large
}

// packed is the bound of a body.
func (l *limits) packed() int {
	line := l.line
	if line == 0 {
		line = firstPacked
	}
	return min(l.bytes.at(maxPacked), line, maxPacked)
}

// body is the bound before compression, so chosen that the compressed body will most likely do.
func (l *limits) body() int {
	most := maxBody
	if l.samples.at(0) > maxSamples {
		most = mostBody
	}
	if l.ratio == 0 {
		return most
	}
	return max(minPacked, min(most, int(0.95*l.ratio*float64(l.packed()))))
}

// room is how many samples a request holds, as far as is known.
func (l *limits) room(p *protocol) int {
	n := l.samples.at(p.samples)
	if packed := l.packed(); packed < maxPacked && l.line > 0 && l.density > 0 {
		n = min(n, int(float64(packed)/l.density))
	}
	return max(1, n)
}

// reduced tells whether requests are smaller than they might be, because larger ones failed.
func (l *limits) reduced(p *protocol) bool {
	return l.samples.reduced(p.samples) || l.bytes.reduced(maxPacked)
}

// recalled takes over a bound of bytes that was learned before a restart.
func (l *limits) recalled(size int, now time.Time) {
	if size > 0 {
		l.kept, l.bytes = size, bound{limit: size, wall: 2 * size, hold: holdFirst, until: now.Add(holdFirst)}
	}
}

// measured notes how well a body was compressed.
func (l *limits) measured(body, packed int) {
	if packed > 0 {
		l.ratio = float64(body) / float64(packed)
	}
}

// took learns from a request that was accepted. burst is how many bytes may leave at once, 0 for any: growth beyond what is safe
// keeps to that.
func (l *limits) took(r *request, took, timeout time.Duration, burst int, now time.Time) {
	packed, most := len(r.packed), mostSamples
	if burst > 0 && 2*packed > burst {
		most = r.proto.samples
	}
	l.large = 0
	l.samples.took(r.samples, r.proto.samples, most, now)
	l.bytes.took(packed, maxPacked, maxPacked, now)
	switch {
	case !l.bytes.reduced(maxPacked):
		l.kept = 0
	case l.bytes.proven && l.bytes.hold > 0: // more has failed twice, and this is taken
		l.kept = l.bytes.limit
	}
	if r.samples > fewSamples {
		l.density = float64(packed) / float64(r.samples)
	}
	carried := int(min(maxPacked, float64(packed)*float64(timeout/4)/float64(max(took, time.Millisecond))))
	switch {
	case carried >= max(l.line, firstPacked):
		l.line = carried
	case took > timeout: // only thanks to more patience
		l.line = min(max(2*carried, leastPacked), l.packed())
	case l.line == 0:
		l.line = firstPacked
	}
}

// least is the size of body below which nothing is gained: that of a lone sample.
func least(r *request) int {
	if r.samples == 1 {
		return len(r.packed)
	}
	return minPacked
}

// tooLarge learns from a 413. It tells how many there were in a row.
func (l *limits) tooLarge(r *request, now time.Time) int {
	l.large++
	l.bytes.failed(len(r.packed), least(r), maxPacked, now)
	return l.large
}

// failed learns from an attempt that failed; fails is how many attempts at this very request did in a way that may be due to its
// size. It tells whether the next request is to be smaller.
func (l *limits) failed(r *request, a *answer, fails int, now time.Time) bool {
	packed := len(r.packed)
	if r.samples <= fewSamples && fails < cutSmallAfter && !a.slow { // no receiver minds so few, and many small requests are a load
		return false
	}
	switch {
	case a.slow: // what has left in the time limit may be no more than what buffers on the way hold
		l.line = max(least(r), min(packed/2, a.sent/4))
	case a.ofLine():
		if fails < l.bytes.patience(packed, maxPacked) {
			return false
		}
		l.line = max(least(r), min(l.packed(), packed/2))
		l.bytes.failed(packed, least(r), maxPacked, now)
	default:
		if fails < l.samples.patience(r.samples, r.proto.samples) {
			return false
		}
		l.samples.failed(r.samples, 1, r.proto.samples, now)
	}
	return r.samples > 1
}
