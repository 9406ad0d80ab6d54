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
	if err != nil {
		return b, err
	}
	w := o.process.world
	if o.process.dead.Load() { // its record may say that the batch is on its way
		w.ledger.handOutUnseen(o.destination, b)
		return b, err
	}
	fits := w.fits()
	var batch []sample
	fresh := 0 // in a batch that is handed out once more
	w.ledger.mu.Lock()
	for i := range b.Series {
		labels, after := b.Series[i].Ref.Labels.Packed(), 0
		for _, p := range b.Series[i].Points {
			x, before, ok := w.ledger.handOut(o.destination, labels, p, after, fits)
			if !ok {
				break
			}
			if b.Unsure && before&(handed|mayRepeat|mayBeLost|mayBeLate) == 0 {
				fresh++
			}
			batch, after = append(batch, x), x.index+1
		}
	}
	w.ledger.mu.Unlock()
	if n := len(batch); n != b.Count {
		w.fail("conservation: a batch for %s of %d samples says it has %d", o.destination, n, b.Count)
	}
	if fresh > 0 {
		w.fail("truth: a batch for %s whose answer is not known comes again with %d samples that were not in it", o.destination, fresh)
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
	o.mu.Unlock()
	count := b.Count
	o.Source.Ack(b, out)
	if o.process.dead.Load() { // it has perhaps not come to noting that: the batch is in hand
		return
	}
	o.mu.Lock()
	o.batches[lane] = nil
	o.mu.Unlock()
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
	held, sure, suspected := 0, 0, 0
	for _, x := range batch {
		g := x.series.progress(o.destination)
		f := &g.fates[x.index]
		if g.refused {
			suspected++
		}
		f.flags |= acked
		f.ackedAt = w.clock.elapsed()
		g.next = max(g.next, x.index+1)
		if f.flags&stored != 0 {
			held++
			if f.flags&(mayRepeat|mayBeLost) == 0 {
				sure++
			}
		}
	}
	w.ledger.mu.Unlock()
	if n := out.Dropped["series_refused"]; n > suspected {
		w.fail("conservation: %d samples for %s are left out because of their series; the receiver has refused %d of them", n, o.destination, suspected)
	}
	if out.Refused > count-sure && !w.destination(o.destination).lies {
		w.fail("truth: of a batch for %s of %d samples %d are said to be refused; the receiver holds %d", o.destination, count, out.Refused, sure)
	}
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
