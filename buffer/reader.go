package buffer

import (
	"context"
	"time"

	"headend-agent/internal/metric"
)

// Options say how a destination reads.
type Options struct {
	MaxAge time.Duration // older samples are dropped and counted instead of handed out; 0: none is too old
}

// position is the next sample that a destination wants: skip samples of round seq are acknowledged already.
type position struct {
	seq  uint64
	skip int
}

func (p position) before(q position) bool {
	return p.seq < q.seq || p.seq == q.seq && p.skip < q.skip
}

// Reader is one destination's cursor. One goroutine at a time may use it.
type Reader struct {
	b    *Buffer
	name string
	opts Options

	// Guarded by b.mu.
	at    position
	out   bool     // a batch, at..to, is with the sender: its samples are safe there while the ring overwrites them
	to    position // where the batch ends
	limbo int      // samples of the batch that the ring has overwritten
	stats Ledger
	late  bool // the last attempt failed
	note  string

	batch metric.Batch // reused
	group grouper
}

// Reader returns the cursor of a destination, kept by name: one that comes again after a reload goes on where it was. A new one
// starts at the oldest round kept.
func (b *Buffer) Reader(destination string, o Options) *Reader {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.readers[destination]
	if r == nil {
		r = &Reader{b: b, name: destination, at: position{seq: b.first()}, stats: Ledger{Dropped: map[string]uint64{}}}
		b.readers[destination] = r
	}
	r.opts = o
	return r
}

// Forget removes the cursor of a destination that is no longer configured; its unsent samples are released.
func (b *Buffer) Forget(destination string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.readers, destination)
	b.release()
}

// Next waits for data and returns the oldest samples that are not acknowledged, grouped by series. It removes nothing: until
// Ack it returns the same place again. The batch is the reader's and valid until the next call.
func (r *Reader) Next(ctx context.Context, limit metric.Limit) (*metric.Batch, error) {
	for {
		r.b.mu.Lock()
		r.dropOld()
		wait := r.ready(limit)
		if wait == 0 {
			r.stats.Dropped["overflow"] += uint64(r.limbo) // of a batch that the sender gave back
			r.limbo, r.out = 0, true
			r.fill(limit.Samples)
			r.b.mu.Unlock()
			return &r.batch, nil
		}
		grown := r.b.grown
		r.b.mu.Unlock()

		var timeout <-chan time.Time
		if wait > 0 {
			timeout = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-grown:
		case <-timeout:
		}
	}
}

// Ack tells what became of a batch; the destination will not see it again.
func (r *Reader) Ack(_ *metric.Batch, o metric.Outcome) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	r.stats.add(o)
	r.late = false
	r.limbo, r.out = 0, false
	if r.at.before(r.to) {
		r.at = r.to
	}
	r.b.release()
}

// Fail tells that an attempt to send the batch failed and will be made again; answerLost that the receiver may have it
// nevertheless.
func (r *Reader) Fail(_ *metric.Batch, answerLost bool) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	r.late = true
}

// Note returns what SetNote has kept for the destination.
func (r *Reader) Note() string {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	return r.note
}

// SetNote keeps a short text with the cursor, for what a sender has learned of its receiver.
func (r *Reader) SetNote(text string) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	r.note = text
}

// overwrite moves the cursor past its round, of so many samples, which the ring gives up.
func (r *Reader) overwrite(samples int) {
	safe := r.at.skip // the end of what is acknowledged or with the sender
	if r.out && r.at.before(r.to) {
		safe = samples
		if r.to.seq == r.at.seq {
			safe = r.to.skip
		}
		r.limbo += safe - r.at.skip
	}
	r.stats.Dropped["overflow"] += uint64(samples - safe)
	r.at = position{seq: r.at.seq + 1}
}

// Pending returns how many samples wait for the destination and how long ago the oldest of them was appended.
func (r *Reader) Pending() (samples int, age time.Duration) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	return r.pending()
}

func (r *Reader) pending() (samples int, age time.Duration) {
	rounds := r.rest()
	for i := range rounds {
		samples += len(rounds[i].Values)
	}
	if len(rounds) > 0 {
		samples -= r.at.skip
		age = time.Since(rounds[0].at)
	}
	return samples, age
}

// rest is what the buffer holds from the cursor on.
func (r *Reader) rest() []stored {
	rounds := r.b.rounds
	if len(rounds) == 0 || r.at.seq >= r.b.next {
		return nil
	}
	return rounds[r.at.seq-rounds[0].seq:]
}

// ready returns 0 when a batch may be handed out, how long to wait for it, or -1 where only an Append helps.
func (r *Reader) ready(limit metric.Limit) time.Duration {
	rounds := r.rest()
	samples := -r.at.skip
	for i := range rounds {
		if _, ok := r.b.time(&rounds[i]); !ok {
			rounds = rounds[:i]
			break
		}
		if samples += len(rounds[i].Values); samples >= limit.Samples {
			return 0
		}
	}
	if len(rounds) == 0 {
		return -1
	}
	return max(0, limit.Linger-time.Since(rounds[0].at))
}

// time returns the Unix time of a round in milliseconds, or false while nobody knows it.
func (b *Buffer) time(s *stored) (int64, bool) {
	offset, known := b.offsets[s.Epoch]
	return s.TimeMs + offset, known || !s.Unset
}

// dropOld passes over what is beyond MaxAge.
func (r *Reader) dropOld() {
	if r.opts.MaxAge <= 0 {
		return
	}
	oldest := time.Now().Add(-r.opts.MaxAge).UnixMilli()
	rounds := r.rest()
	for i := range rounds {
		if ms, known := r.b.time(&rounds[i]); !known || ms >= oldest {
			break
		}
		r.stats.Dropped["max_age"] += uint64(len(rounds[i].Values) - r.at.skip)
		r.at = position{seq: rounds[i].seq + 1}
	}
	r.b.release()
}

// fill makes the batch of up to limit samples from the cursor on.
func (r *Reader) fill(limit int) {
	r.to = r.at
	r.group.reset()
	for i := range r.rest() {
		s := &r.rest()[i]
		ms, known := r.b.time(s)
		if !known || limit == 0 {
			break
		}
		skip := r.to.skip
		n := min(limit, len(s.Values)-skip)
		var start int64
		if s.StartMs != 0 {
			start = s.StartMs + ms - s.TimeMs
		}
		r.group.add(s.Series[skip:skip+n], s.Values[skip:skip+n], ms, start)
		limit -= n
		if skip+n == len(s.Values) {
			r.to = position{seq: s.seq + 1}
		} else {
			r.to.skip = skip + n
		}
	}
	r.group.finish(&r.batch)
}
