// Package buffer keeps every round until each destination has acknowledged it, within bounds.
package buffer

import (
	"slices"
	"sync"
	"time"

	"headend-agent/internal/metric"
)

// Buffer is one ring that serves all destinations. Its methods may be called from any goroutine.
type Buffer struct {
	cfg Config

	mu      sync.Mutex
	rounds  []stored // oldest first
	next    uint64   // sequence number of the next round
	bytes   int      // of rounds
	offsets map[metric.Epoch]int64
	readers map[string]*Reader
	grown   chan struct{} // closed, and made anew, when a reader may find something new
	appends uint64        // samples appended, ever
}

// stored is a round with the buffer's own copy of its values.
type stored struct {
	metric.Round
	seq uint64
	at  time.Time // of the Append
}

// Open makes a buffer. It fails for a wrong configuration only.
func Open(cfg Config) (*Buffer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Buffer{
		cfg: cfg, offsets: map[metric.Epoch]int64{}, readers: map[string]*Reader{}, grown: make(chan struct{}),
	}, nil
}

// Append takes a round. It never blocks on a disk and never fails the caller: what there is no room for displaces the
// oldest, which is counted as a loss of each destination that has not had it.
func (b *Buffer) Append(r metric.Round) {
	if len(r.Values) == 0 {
		return
	}
	r.Values = slices.Clone(r.Values)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rounds = append(b.rounds, stored{r, b.next, time.Now()})
	b.next++
	b.bytes += cost(r)
	b.appends += uint64(len(r.Values))
	for b.bytes > int(b.cfg.Memory) && len(b.rounds) > 1 {
		b.dropOldest()
	}
	b.signal()
}

// Restamp tells that the clock of an epoch was wrong by offsetMs: what is not yet sent of it gets times that much later.
func (b *Buffer) Restamp(e metric.Epoch, offsetMs int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.offsets[e] = offsetMs
	b.signal()
}

// cost is what a round weighs in memory. Its Series slice is shared with its neighbours; counting it once more for each keeps
// the bound safe where they come and go.
func cost(r metric.Round) int { return 128 + 16*len(r.Values) }

func (b *Buffer) signal() {
	close(b.grown)
	b.grown = make(chan struct{})
}

// dropOldest makes room, at the expense of the destinations that still want the oldest round.
func (b *Buffer) dropOldest() {
	old := &b.rounds[0]
	for _, r := range b.readers {
		if r.at.seq == old.seq {
			r.overwrite(len(old.Values))
		}
	}
	b.cut(old.seq + 1)
}

// cut forgets the rounds before a sequence number.
func (b *Buffer) cut(seq uint64) {
	n := 0
	for n < len(b.rounds) && b.rounds[n].seq < seq {
		b.bytes -= cost(b.rounds[n].Round)
		b.rounds[n] = stored{}
		n++
	}
	b.rounds = b.rounds[n:]
	if cap(b.rounds) > 4*len(b.rounds)+64 {
		b.rounds = slices.Clone(b.rounds)
	}
}

// release forgets what every destination has. With no destination at all everything stays, as far as there is room: one may come.
func (b *Buffer) release() {
	if len(b.readers) == 0 {
		return
	}
	least := b.next
	for _, r := range b.readers {
		least = min(least, r.at.seq)
	}
	b.cut(least)
}

// first is the sequence number of the oldest round kept.
func (b *Buffer) first() uint64 {
	if len(b.rounds) == 0 {
		return b.next
	}
	return b.rounds[0].seq
}

// Close ends the buffer's work. Readers see no more data.
func (b *Buffer) Close() error { return nil }
