package push

import (
	"slices"
	"sync"
	"time"

	"headend-agent/internal/metric"
)

// receiver is what is known of a destination's receiver; lanes share it.
type receiver struct {
	wall func() time.Time

	mu sync.Mutex
	negotiation
	limits  limits
	noted   string    // as it was when changed was last asked
	silent  int       // answers in a row that a receiver of 2.0 does not give
	since   time.Time // of the first of them
	trusted []string  // kinds of bodies that the receiver's 2xx have; see identify
	voucher string    // the kind that came before the receiver was found to be there

	whole  int       // fresh batches in a row that were refused whole
	looked time.Time // when something was looked for last in such a batch
	old    bool      // a batch of old samples was refused whole, and nothing accepted since
}

// wholeRefusals is the number of batches refused whole, in a row, from which on what is refused is looked for no more than once in
// lookAgain: one series that is always refused would else have all others refused for good.
const (
	wholeRefusals = 3
	lookAgain     = time.Minute
)

// state returns a copy of the negotiation as it stands.
func (r *receiver) state() negotiation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.negotiation
}

// build makes a request in the protocol that is due. over tells that it is of one series and larger than it should be.
func (r *receiver) build(b *builder, set []metric.Samples) (req request, over bool) {
	r.mu.Lock()
	p := r.choose(r.wall())
	r.mu.Unlock()
	return r.buildAs(b, set, p)
}

func (r *receiver) buildAs(b *builder, set []metric.Samples, p *protocol) (req request, over bool) {
	r.mu.Lock()
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
	r.limits.recalled(r.negotiation.recall(note, now), time.Now())
	r.noted = r.negotiation.note(r.limits.kept)
}

// note returns what is worth keeping over a restart.
func (r *receiver) note() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.negotiation.note(r.limits.kept)
}

// changed tells whether the note has changed since it was last asked.
func (r *receiver) changed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.noted
	r.noted = r.negotiation.note(r.limits.kept)
	return r.noted != before
}

func (r *receiver) confirm(p *protocol) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = 0
	return r.negotiation.confirm(p, r.wall())
}

// askAgain has the next request ask for 2.0.
func (r *receiver) askAgain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.negotiation.asked = time.Time{}
}

func (r *receiver) fallBack() (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = 0
	return r.negotiation.fallBack(r.wall())
}

// forgets2 notes that the receiver was there just now, and no longer knows 2.0.
func (r *receiver) forgets2() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.confirmed = false
}

func (r *receiver) zstdDue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.negotiation.zstdDue(r.wall())
}

// askedForZstd notes whether the receiver takes zstd, and where not, whether that may be a passing trouble. It tells whether data
// goes by zstd now.
func (r *receiver) askedForZstd(taken, passing bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !taken {
		r.negotiation.put(passing, r.wall())
		return false
	}
	r.zstdTaken(r.wall())
	if !r.limits.samples.reduced(protocolV1.samples) { // what snappy has grown to is less than what zstd begins with
		r.limits.samples = bound{taken: r.limits.samples.taken}
	}
	return r.proto == protocolVM
}

func (r *receiver) giveUpZstd(status int) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.negotiation.giveUpZstd(status, r.wall())
}

func (r *receiver) acquitZstd(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.negotiation.acquitZstd(status)
}

// silentAgain notes a 2xx that does not say what was written, and tells whether it is time to ask who answers.
func (r *receiver) silentAgain(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silent == 0 {
		r.since = now
	}
	r.silent++
	return r.silent >= silentAnswers && now.Sub(r.since) >= silentTime
}

// maxTrusted bounds the kinds of bodies that are known.
const maxTrusted = 8

// trust notes that a kind of body is the receiver's.
func (r *receiver) trust(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.trusted) >= maxTrusted {
		r.trusted = r.trusted[1:]
	}
	r.trusted = append(r.trusted, kind)
}

// vouch notes that the receiver was there after a kind of body had come.
func (r *receiver) vouch(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.voucher = kind
}

func (r *receiver) vouched(kind string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return kind != "" && r.voucher == kind
}

func (r *receiver) trusts(kind string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.trusted, kind)
}

// impostor takes back what something else than the receiver has answered, perhaps: that 2.0 is not known. The next request asks.
func (r *receiver) impostor() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.proto == protocolV1 && !r.confirmed {
		r.asked = time.Time{}
	}
}

// took notes a request that was accepted; see limits.
func (r *receiver) took(req *request, took, timeout time.Duration, burst int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits.took(req, took, timeout, burst, time.Now())
}

// failed notes an attempt that may have failed for the size of the request, and tells whether to go on with smaller ones.
func (r *receiver) failed(req *request, a *answer, fails int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.limits.failed(req, a, fails, time.Now())
}

// reduced tells whether requests are smaller than they might be.
func (r *receiver) reduced(p *protocol) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.limits.reduced(p)
}

// room is how many samples a request may hold.
func (r *receiver) room() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.limits.room(r.proto)
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
		if r.whole++; r.whole == wholeRefusals {
			r.looked = time.Now()
		}
	}
}

// refusesAll tells whether looking for what is refused has proved useless, and has been tried lately.
func (r *receiver) refusesAll() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.whole >= wholeRefusals && time.Since(r.looked) < lookAgain
}

// looks notes that it is tried.
func (r *receiver) looks() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looked = time.Now()
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
