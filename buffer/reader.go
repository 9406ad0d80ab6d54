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
	live       uint64    // from here on nothing is acknowledged
	gaps       spans     // before that, what is not
	unsure     []attempt // batches whose outcome is indeterminate; in order, none overlaps another
	stats      Ledger
	failed     bool // the last attempt failed
	note       string
	generation uint64    // of the record that it was restored from; 0: of none
	known      uint64    // it goes on from there for all samples before this number
	unread     []unread  // of what it waits for, what could not be read; in order
	heldBack   time.Time // since when newer samples were last held back for that

	lanes [2]lane
}

// Reader returns the cursor of a destination, kept by name: one that comes again after a reload or a restart goes on where it was.
// A new one starts at the oldest sample kept. Whoever used it before has given back the batches that it has not acknowledged.
func (b *Buffer) Reader(destination string, o Options) *Reader {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.readers[destination]
	if r == nil {
		r = &Reader{b: b, name: destination, stats: Ledger{Dropped: map[string]uint64{}}}
		for i := range r.lanes {
			r.lanes[i].reader = r
		}
		if i := slices.IndexFunc(b.dormant, func(c cursor) bool { return c.name == destination }); i >= 0 {
			r.restore(&b.dormant[i])
			b.dormant = slices.Delete(b.dormant, i, i+1)
		} else {
			r.begin()
		}
		b.readers[destination] = r
	}
	r.giveBack()
	r.opts = o
	return r
}

func (r *Reader) giveBack() {
	for i := range r.lanes {
		r.lanes[i].giveBack()
	}
}

// Retire lays down the cursor of a destination that is no longer configured. Should it come again within a week, it
// goes on where it was, as far as the ring on disk still has that. So what it waits for is written there first: memory
// is kept for nobody.
func (b *Buffer) Retire(destination string) {
	b.mu.Lock()
	r := b.readers[destination]
	waits := r != nil && r.oldest() < b.next
	b.mu.Unlock()
	if waits {
		b.commit(true)
	}
	b.writeRecord(b.retire(destination))
}

func (b *Buffer) retire(destination string) *recordWrite {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.readers[destination]
	if r == nil {
		return nil
	}
	r.giveBack()
	c := r.cursor(b.wall().Unix())
	c.inactive = true
	b.dormant = append(b.dormant, c)
	delete(b.readers, destination)
	for n := len(b.dormant) + len(b.readers) - maxCursors; n > 0 && len(b.dormant) > 0; n-- {
		b.log.Warn("buffer: there are too many destinations that are no longer configured; the place of the oldest is forgotten",
			"destination", b.dormant[0].name)
		b.dormant = b.dormant[1:]
	}
	b.release()
	return b.keepRecord()
}

// cursor says where the destination is, for the record.
func (r *Reader) cursor(now int64) cursor {
	c := cursor{name: r.name, note: r.note, seen: now, live: r.live, gaps: r.gaps}
	for _, u := range r.unsure {
		c.unsure = append(c.unsure, u.span)
	}
	for i := range r.lanes {
		if l := &r.lanes[i]; l.out && !slices.Contains(c.unsure, l.held) {
			c.unsure = append(c.unsure, l.held)
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
	oldest := r.oldestReadable()
	if r.failed || oldest < r.live {
		return oldest < r.b.next
	}
	at, any := r.b.arrivalFrom(oldest)
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
			f := l.fill()
			ready, w := l.done(&f)
			r.b.writeRecord(w)
			if ready {
				return &l.batch, nil
			}
			if !f.blocked {
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

// Ack tells what became of a batch; the destination will not see it again. A batch that was given back is none any more.
func (r *Reader) Ack(batch *metric.Batch, o metric.Outcome) { r.b.writeRecord(r.ack(batch, o)) }

func (r *Reader) ack(batch *metric.Batch, o metric.Outcome) *recordWrite {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	l := r.laneOf(batch)
	if !l.out {
		return nil
	}
	r.stats.add(o)
	r.failed = false
	l.lost.count(r.stats.Dropped)
	held, unread := l.held, len(r.unread)
	l.out, l.held = false, span{}
	if r.pass(held); unread > 0 && len(r.unread) == 0 {
		r.b.log.Info("buffer: what could not be read has been read", "destination", r.name)
	}
	r.b.release()
	return r.b.keepRecord()
}

// laneOf returns the lane that a batch is from.
func (r *Reader) laneOf(batch *metric.Batch) *lane {
	if batch == &r.lanes[1].batch {
		return &r.lanes[1]
	}
	return &r.lanes[0]
}

// Fail tells that an attempt to send the batch failed and will be made again; answerLost that the receiver may have it
// nevertheless.
func (r *Reader) Fail(batch *metric.Batch, answerLost bool) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	r.failed = true
	l := r.laneOf(batch)
	l.answerLost = l.answerLost || answerLost
	l.refused = !l.answerLost
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
	r.note = text[:min(len(text), maxNote)]
	w := r.b.keepRecord()
	r.b.mu.Unlock()
	r.b.writeRecord(w)
}

// Pending returns how many samples wait for the destination and how long ago the oldest of them was appended.
func (r *Reader) Pending() (samples int, age time.Duration) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	return r.pending()
}

func (r *Reader) pending() (samples int, age time.Duration) {
	samples = int(r.gaps.count() + r.b.next - r.live)
	if at, any := r.b.arrivalFrom(r.oldest()); any && samples > 0 {
		age = time.Since(at)
	}
	return samples, age
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
