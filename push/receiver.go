package push

import (
	"sync"
	"time"

	"headend-agent/internal/metric"
)

// receiver is what is known of a destination's receiver; lanes share it.
type receiver struct {
	wall func() time.Time

	mu sync.Mutex
	negotiation
	limits limits
	noted  string // as it was when changed was last asked

	whole int  // fresh batches in a row that were refused whole
	old   bool // a batch of old samples was refused whole, and nothing accepted since
}

// wholeRefusals is the number of batches refused whole, in a row, from which on nothing is looked for in them.
const wholeRefusals = 3

// state returns a copy of the negotiation as it stands.
func (r *receiver) state() negotiation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.negotiation
}

// build makes a request in the protocol that is due.
func (r *receiver) build(b *builder, set []metric.Samples) (req request, over int) {
	r.mu.Lock()
	p := r.choose(r.wall())
	r.mu.Unlock()
	return r.buildAs(b, set, p)
}

func (r *receiver) buildAs(b *builder, set []metric.Samples, p *protocol) (req request, over int) {
	r.mu.Lock()
	if r.limits.learned > 0 && r.wall().After(r.limits.until) {
		r.limits.learned = 0
	}
	l := r.limits
	r.mu.Unlock()
	req, over = b.build(set, p, &l)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits.ratio = l.ratio
	return req, over
}

func (r *receiver) recall(note string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits.learned, r.limits.until = r.negotiation.recall(note, now), now.Add(askAgain)
	r.noted = r.negotiation.note(r.limits.learned)
}

// note returns what is worth keeping over a restart.
func (r *receiver) note() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.negotiation.note(r.limits.learned)
}

// changed tells whether the note has changed since it was last asked.
func (r *receiver) changed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.noted
	r.noted = r.negotiation.note(r.limits.learned)
	return r.noted != before
}

func (r *receiver) confirm(p *protocol) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.negotiation.confirm(p, r.wall())
}

func (r *receiver) fallBack() (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.negotiation.fallBack(r.wall())
}

func (r *receiver) tooLarge(packed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits.tooLarge(packed, r.wall())
}

func (r *receiver) tooSlow(packed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits.tooSlow(packed)
}

func (r *receiver) inTime(packed int, took, timeout time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits.inTime(packed, took, timeout)
}

// refusedWhole notes whether a batch was refused whole, and whether all of it was old: age explains that, and says nothing of what
// is fresh.
func (r *receiver) refusedWhole(whole, old bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !whole:
		r.whole, r.old = 0, false
	case old:
		r.old = true
	default:
		r.whole++
	}
}

// refusesAll tells whether looking for what is refused has proved useless.
func (r *receiver) refusesAll() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.whole >= wholeRefusals
}

// refusesOld tells whether a batch of old samples is likely to be refused whole.
func (r *receiver) refusesOld() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.old
}

// bodyLimit is the bound of a body, compressed.
func (r *receiver) bodyLimit() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.limits.packed()
}
