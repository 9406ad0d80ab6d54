package metric

import "time"

// Samples are the samples of one series, in order of time.
type Samples struct {
	Ref     Ref
	StartMs int64 // since when a counter counts, Unix milliseconds; 0 where that is not known
	Points  []Point
}

// Point is a sample of a series.
type Point struct {
	TimeMs int64 // Unix milliseconds
	Value  float64
}

// Batch is a piece of the buffer as a destination gets it: each series once, with all its samples of that piece.
type Batch struct {
	Series []Samples // in no order
	Count  int       // of samples

	// Unsure: an earlier process of the agent may have sent this very batch; its answer is not known.
	Unsure bool

	// Outdated is closed when a step of the clock has changed the times of these samples: give the batch back, unless a receiver
	// has some of it or may have. Nil where that never comes.
	Outdated <-chan struct{}
}

// Lane tells which end of the buffer a batch is from.
type Lane uint8

const (
	Oldest Lane = iota // what is not acknowledged, oldest first; the only lane of a destination that wants order
	Live               // what is newest, beside a backlog
)

// Limit bounds a batch.
type Limit struct {
	Samples int           // at most so many
	Lane    Lane          // a destination has one batch of each lane in hand at most
	Linger  time.Duration // wait so long after the oldest round came for others to share the batch, unless it is full
}

// Outcome says what became of the samples of a batch. The numbers add up to Batch.Count.
type Outcome struct {
	Delivered int            // the receiver has them
	Refused   int            // the receiver answered that it will not have them
	Uncertain int            // an answer was lost, and a later one was a refusal: the receiver may have them
	Dropped   map[string]int // given up here, by reason
}
