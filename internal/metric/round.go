package metric

import "math"

// SourceID names what a round was read from: a probe and its target. It is stable over restarts.
type SourceID string

// Round is what one run of one probe found: one time, many series, one value each. All of its slices are
// read-only; the receiver copies Values, but may keep Series, which is the same slice from round to round while the
// same series come in the same order.
type Round struct {
	Source  SourceID
	TimeMs  int64 // Unix time in milliseconds, which the correction of Epoch is added to; with Unset, milliseconds since boot
	StartMs int64 // since when the counters of this round count, like TimeMs; 0 where that is not known
	Epoch   Epoch // 0: TimeMs is the source's own time, which is never corrected
	Unset   bool  // the clock was not set yet: nobody knows the time until the correction of Epoch is known
	Series  []Ref
	Values  []float64
}

// staleBits marks the end of a series, as remote write defines it.
const staleBits = 0x7ff0000000000002

const maxFloat = math.MaxFloat64

// Stale returns the marker for a series that has ended.
func Stale() float64 { return math.Float64frombits(staleBits) }

// IsStale tells the stale marker from every other NaN.
func IsStale(v float64) bool { return math.Float64bits(v) == staleBits }
