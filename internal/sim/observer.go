package sim

import (
	"context"
	"slices"
	"sync"

	"headend-agent/internal/metric"
	"headend-agent/push"
)

// observer is what a sender reads from: the buffer's reader, with an eye on what it hands out and on what is acknowledged.
type observer struct {
	push.Source
	process     *process
	destination string

	mu      sync.Mutex
	batches [2][]sample // in the sender's hands, by lane
	of      [2]*metric.Batch
}

func (o *observer) Next(ctx context.Context, limit metric.Limit) (*metric.Batch, error) {
	b, err := o.Source.Next(ctx, limit)
	if err != nil || o.process.dead.Load() {
		return b, err
	}
	w := o.process.world
	fits := w.fits()
	var batch []sample
	w.ledger.mu.Lock()
	for i := range b.Series {
		labels, after := b.Series[i].Ref.Labels.Packed(), 0
		for _, p := range b.Series[i].Points {
			x, ok := w.ledger.handOut(o.destination, labels, p, after, fits)
			if !ok {
				break
			}
			batch, after = append(batch, x), x.index+1
		}
	}
	w.ledger.mu.Unlock()
	if n := len(batch); n != b.Count {
		w.fail("conservation: a batch for %s of %d samples says it has %d", o.destination, n, b.Count)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.batches[limit.Lane], o.of[limit.Lane] = batch, b
	return b, nil
}

// Ack checks that the outcome adds up, and that the receiver holds what is said to be delivered.
func (o *observer) Ack(b *metric.Batch, out metric.Outcome) {
	o.mu.Lock()
	lane := slices.Index(o.of[:], b)
	batch := o.batches[lane]
	o.batches[lane] = nil
	o.mu.Unlock()
	count := b.Count
	o.Source.Ack(b, out)
	if o.process.dead.Load() {
		return
	}
	w := o.process.world
	sum := out.Delivered + out.Refused + out.Uncertain
	for _, n := range out.Dropped {
		sum += n
	}
	if sum != count {
		w.fail("conservation: a batch of %d samples for %s ends as %+v", count, o.destination, out)
	}
	w.count(o.destination, out)
	w.ledger.mu.Lock()
	held := 0
	for _, x := range batch {
		g := x.series.progress(o.destination)
		f := &g.fates[x.index]
		f.flags |= acked
		f.ackedAt = w.clock.elapsed()
		g.next = max(g.next, x.index+1)
		if f.flags&stored != 0 {
			held++
		}
	}
	w.ledger.mu.Unlock()
	if held < out.Delivered {
		w.fail("truth: of a batch for %s %d samples are said to be delivered; the receiver holds %d", o.destination, out.Delivered, held)
	}
}

// inHand returns the samples of batches that are not acknowledged.
func (o *observer) inHand() []sample {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Concat(o.batches[0], o.batches[1])
}
