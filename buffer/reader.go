package buffer

import (
	"context"
	"slices"
	"time"

	"headend-agent/internal/metric"
)

// Options say how a destination reads.
type Options struct {
	MaxAge    time.Duration // older samples are dropped and counted instead of handed out; 0: none is too old
	LateAfter time.Duration // the destination is late while its oldest sample has waited for longer; 0: only after a failure
	LiveFirst bool          // it has a lane for what is newest: the other one gets what is left behind
}

// Reader is one destination's cursor. Each of its lanes may be used by one goroutine at a time.
type Reader struct {
	b    *Buffer
	name string
	opts Options

	// Guarded by b.mu.
	live     uint64 // from here on nothing is acknowledged
	gaps     []span // before that, what is not; in order
	unsure   []span // batches that may have been sent by an earlier process
	stats    Ledger
	failed   bool // the last attempt failed
	note     string
	restored bool // from a record

	lanes [2]lane
}

// Reader returns the cursor of a destination, kept by name: one that comes again after a reload or a restart goes on where it was.
// A new one starts at the oldest sample kept.
func (b *Buffer) Reader(destination string, o Options) *Reader {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.readers[destination]
	if r == nil {
		r = &Reader{b: b, name: destination, live: b.first(), stats: Ledger{Dropped: map[string]uint64{}}}
		for i, c := range b.dormant {
			if c.name == destination {
				r.live, r.gaps, r.unsure, r.note, r.restored = min(c.live, b.next), c.gaps, c.unsure, c.note, true
				b.dormant = slices.Delete(b.dormant, i, i+1)
				break
			}
		}
		for i := range r.lanes {
			r.lanes[i].reader = r
		}
		b.readers[destination] = r
	}
	r.opts = o
	b.disk.places = b.places()
	return r
}

// Retire lays down the cursor of a destination that is no longer configured. Should it come again within a week, it goes on where it
// was, as far as the ring on disk still has that; memory is kept for nobody.
func (b *Buffer) Retire(destination string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.readers[destination]
	if r == nil {
		return
	}
	b.dormant = append(b.dormant, r.cursor(b.wall().Unix()))
	delete(b.readers, destination)
	b.disk.places = b.places()
	b.release()
	b.saveCursors()
}

// adopt takes in samples that have come to light, between from and to.
func (r *Reader) adopt(rec *record, from, to uint64) {
	if r.restored || to > r.oldest() {
		return
	}
	gaps := []span{{from, to}}
	for _, c := range rec.cursors {
		if c.name == r.name {
			gaps = c.gaps
			if c.live < to {
				gaps = append(gaps, span{c.live, to})
			}
			r.unsure = append(r.unsure, c.unsure...)
		}
	}
	r.gaps = append(gaps, r.gaps...)
	r.limitGaps()
}

// cursor says where the destination is, for the record.
func (r *Reader) cursor(now int64) cursor {
	c := cursor{name: r.name, note: r.note, seen: now, live: r.live, gaps: slices.Clone(r.gaps), unsure: slices.Clone(r.unsure)}
	for i := range r.lanes {
		if l := &r.lanes[i]; l.out && !slices.Contains(c.unsure, l.sent) && l.sent.to > l.sent.from && len(c.unsure) < maxUnsure {
			c.unsure = append(c.unsure, l.sent)
		}
	}
	return c
}

// oldest is the number of the first sample that is not acknowledged.
func (r *Reader) oldest() uint64 {
	if len(r.gaps) > 0 {
		return r.gaps[0].from
	}
	return r.live
}

// isLate tells whether the destination has trouble: what it has not got is to be written to disk.
func (r *Reader) isLate(now time.Time) bool {
	if r.failed || len(r.gaps) > 0 {
		return r.b.between(r.oldest(), r.b.next) > 0
	}
	at, any := r.b.arrivalFrom(r.oldest())
	return r.opts.LateAfter > 0 && any && now.Sub(at) > r.opts.LateAfter
}

// Next waits for data and returns the oldest samples of a lane that are not acknowledged, grouped by series. It removes nothing:
// until Ack it returns the same place again. The batch is the reader's and valid until the lane's next call. What it comprises is
// noted before, where a kill does not reach.
func (r *Reader) Next(ctx context.Context, limit metric.Limit) (*metric.Batch, error) {
	l := r.lane(limit.Lane)
	for {
		r.b.mu.Lock()
		wait := l.plan(limit)
		grown := r.b.grown
		r.b.mu.Unlock()
		if wait == 0 {
			ready, blocked := l.fill(limit.Samples)
			if ready {
				return &l.batch, nil
			}
			if !blocked {
				continue
			}
			wait = -1
		}
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

// lane returns the state of a lane; without LiveFirst there is but one.
func (r *Reader) lane(which metric.Lane) *lane {
	if which == metric.Live && r.opts.LiveFirst {
		return &r.lanes[1]
	}
	return &r.lanes[0]
}

// Ack tells what became of a batch; the destination will not see it again.
func (r *Reader) Ack(batch *metric.Batch, o metric.Outcome) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	l := r.laneOf(batch)
	r.stats.add(o)
	r.failed = false
	l.out = false
	l.lost.count(r.stats.Dropped)
	r.pass(l.sent)
	r.b.release()
	r.b.saveCursors()
}

// laneOf returns the lane that a batch is from.
func (r *Reader) laneOf(batch *metric.Batch) *lane {
	if batch == &r.lanes[1].batch {
		return &r.lanes[1]
	}
	return &r.lanes[0]
}

// pass moves over a range whose samples are accounted for.
func (r *Reader) pass(s span) {
	if s.to > r.live && s.from <= r.live {
		r.live = s.to
	}
	if len(r.gaps) > 0 && s.from <= r.gaps[0].from && s.to > r.gaps[0].from {
		if r.gaps[0].from = s.to; r.gaps[0].from >= r.gaps[0].to {
			r.gaps = slices.Delete(r.gaps, 0, 1)
		}
	}
	r.unsure = slices.DeleteFunc(r.unsure, func(u span) bool { return s.from <= u.from && u.to <= s.to || u.to <= r.oldest() })
}

// Fail tells that an attempt to send the batch failed and will be made again; answerLost that the receiver may have it
// nevertheless.
func (r *Reader) Fail(batch *metric.Batch, answerLost bool) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	r.failed = true
	r.laneOf(batch).refused = !answerLost
}

// Note returns what SetNote has kept for the destination.
func (r *Reader) Note() string {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	return r.note
}

// SetNote keeps a short text with the cursor, of up to 256 bytes, for what a sender has learned of its receiver.
func (r *Reader) SetNote(text string) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	r.note = text[:min(len(text), maxNote)]
	r.b.saveCursors()
}

// Pending returns how many samples wait for the destination and how long ago the oldest of them was appended.
func (r *Reader) Pending() (samples int, age time.Duration) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	return r.pending()
}

func (r *Reader) pending() (samples int, age time.Duration) {
	for _, g := range r.gaps {
		samples += r.b.between(g.from, g.to)
	}
	samples += r.b.between(r.live, r.b.next)
	if samples > 0 {
		at, _ := r.b.arrivalFrom(r.oldest())
		age = time.Since(at)
	}
	return samples, age
}

// missing counts what the ring has overwritten before it could be handed out.
func (r *Reader) missing() (n uint64) {
	for _, s := range append(slices.Clone(r.gaps), span{r.live, r.b.next}) {
		for i := range r.lanes { // what is with the sender is safe there
			if l := &r.lanes[i]; l.out && l.sent.from <= s.from && l.sent.to > s.from {
				s.from = min(l.sent.to, s.to)
			}
		}
		n += s.to - s.from - uint64(r.b.between(s.from, s.to))
	}
	return n
}

// arrivalFrom tells when the oldest sample kept from seq on came.
func (b *Buffer) arrivalFrom(seq uint64) (at time.Time, any bool) {
	for _, s := range b.segments {
		if s.end() > seq {
			return s.at[s.find(seq)], true
		}
	}
	for i := range b.hot {
		if b.hot[i].seq+uint64(len(b.hot[i].values)) > seq {
			return b.hot[i].at, true
		}
	}
	return at, false
}
