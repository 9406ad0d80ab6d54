package sim

import (
	"hash/fnv"
	"net/http"
	"time"
)

// What a receiver demands of a sender that it does not satisfy: not to come again too soon, too often, or with the same in vain.

// maxIdentical bounds how often one request may be sent that is refused for its size alone.
const maxIdentical = 12

// tooMuch refuses a request for its size, and counts how often the very same one comes.
func (r *receiver) tooMuch(out http.ResponseWriter, m manner, body []byte) {
	h := hash(body)
	r.mu.Lock()
	r.repeated[h]++
	times := r.repeated[h]
	r.mu.Unlock()
	if times == maxIdentical+1 {
		r.world.fail("progress: %s got one request that is too large (HTTP %d) %d times", r.name, m.TooMuch, times)
	}
	r.answer(out, m, m.TooMuch)
}

// isMinded tells whether Retry-After matters: what is too large is cut at once, and to the letter of the specification a batch is
// dropped, and the next one sent.
func (r *receiver) isMinded(status int) bool {
	drops := r.world.destination(r.name).setup.Drop && status/100 == 4 && status != http.StatusTooManyRequests
	return status != http.StatusRequestEntityTooLarge && !drops
}

// wish is what a receiver asks for with Retry-After.
type wish struct {
	at, until time.Time
	applied   int64 // a sender that began later has not heard of it
}

func (r *receiver) ask(wait time.Duration) {
	const most, slack = 10 * time.Minute, 3 * time.Second // DESIGN; the answer's way
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = wish{now, now.Add(min(wait, most) - slack), r.world.applied.Load()}
}

// early notes a request that comes before the time that the receiver has asked for. With two lanes one may be on its way.
func (r *receiver) early() {
	r.mu.Lock()
	p := r.asked
	r.mu.Unlock()
	d := r.world.destination(r.name)
	if time.Now().Before(p.until) && p.applied == r.world.applied.Load() && !d.setup.LiveFirst && !r.link.cutSince(p.at) {
		r.world.fail("progress: %s is asked again after %s, which has asked for %s or more", r.name, time.Since(p.at), p.until.Sub(p.at))
	}
}

// mostAMinute bounds how often a receiver is asked that answers the same to everything.
const mostAMinute = 120

func (r *receiver) hammered() {
	r.mu.Lock()
	last := &r.hopeless[r.answers%mostAMinute]
	since := time.Since(*last)
	*last = time.Now()
	r.answers++
	again := r.answers > mostAMinute && since < time.Minute
	r.mu.Unlock()
	if again {
		r.world.fail("progress: %s is asked more than %d times in %s while it refuses everything", r.name, mostAMinute, since)
	}
}

// tardiness is how often the same request did not get through in time.
type tardiness struct {
	body    uint64 // its hash, or its length where it has not come to its end
	applied int64  // by the same sender
	times   int
}

// mostTardy bounds that: after three times a request is made smaller, unless it has few samples.
const (
	mostTardy  = 5
	fewSamples = 100
)

// late notes a request that its sender has given up.
func (r *receiver) late(in *http.Request, body []byte) {
	t := tardiness{uint64(in.ContentLength), r.world.applied.Load(), 1}
	if body != nil {
		t.body = hash(body)
	}
	r.mu.Lock()
	if last := r.tardy; last.body == t.body && last.applied == t.applied {
		t.times += last.times
	}
	r.tardy = t
	r.mu.Unlock()
	if t.times == mostTardy+1 {
		r.world.fail("progress: %s got one request of %d bytes that takes too long %d times", r.name, in.ContentLength, t.times)
	}
}

func hash(body []byte) uint64 {
	h := fnv.New64a()
	h.Write(body)
	return h.Sum64()
}
