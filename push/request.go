package push

import (
	"time"

	"headend-agent/internal/metric"
)

// request is a body ready to be sent, as often as it takes.
type request struct {
	proto   *protocol
	packed  []byte
	taken   int // series of the set that are in it: the first ones
	samples int
	span    time.Duration // from its oldest sample to its newest
}

// builder makes requests. Its memory is used again: a request is valid until the next one is made.
type builder struct {
	shaper *shaper
	v1     *encoderV1
	v2     *encoderV2
	packer packer
	idle   int // batches in a row that needed a small part of the memory
	most   int // bytes that the batch at hand needed
}

func newBuilder(s *shaper) *builder {
	return &builder{shaper: s, v1: &encoderV1{}, v2: newEncoderV2()}
}

// build encodes as many series of the set as fit, at least one. over tells that even that one is beyond a limit.
func (b *builder) build(set []metric.Samples, p *protocol, l *limits) (r request, over bool) {
	b.first(set)
	samples, bound := l.samples.at(p.samples), l.body()
	for n := min(len(set), maxSeries); ; {
		r = request{proto: p}
		body := b.encode(&r, set[:n], samples, bound)
		r.packed = b.packer.pack(p.encoding, body)
		l.measured(len(body), len(r.packed))
		b.most = max(b.most, len(body))
		if len(r.packed) <= l.packed() {
			return r, r.samples > samples
		}
		if r.taken == 1 {
			return r, true
		}
		n = r.taken / 2
		bound = l.body()
	}
}

func (b *builder) encode(r *request, set []metric.Samples, samples, bound int) []byte {
	var e encoder = b.v1
	if r.proto == protocolV2 {
		e = b.v2
	}
	e.begin()
	oldest, newest := set[0].Points[0].TimeMs, set[0].Points[0].TimeMs
	for i := range set {
		x := &set[i]
		if i > 0 && r.samples+len(x.Points) > samples {
			break
		}
		ls, _ := b.shaper.labels(x.Ref)
		if !e.add(ls, x, bound) && i > 0 {
			break
		}
		r.taken++
		r.samples += len(x.Points)
		oldest = min(oldest, x.Points[0].TimeMs)
		newest = max(newest, x.Points[len(x.Points)-1].TimeMs)
	}
	r.span = time.Duration(newest-oldest) * time.Millisecond
	return e.finish()
}

// first moves a series that bears all external labels to the front: a receiver that sorts out replicas looks at the first one only.
func (b *builder) first(set []metric.Samples) {
	for i := range min(len(set), maxSeries) {
		if _, whole := b.shaper.labels(set[i].Ref); whole {
			set[0], set[i] = set[i], set[0]
			return
		}
	}
}

// Memory beyond keepBody is given back after so many batches that needed less than a quarter of it.
const (
	keepBody  = 1 << 20
	keepQuiet = 16
)

// rest is called between batches.
func (b *builder) rest() {
	held := max(cap(b.v1.body), cap(b.v2.body))
	if held <= keepBody || b.most > held/4 {
		b.idle = 0
	} else if b.idle++; b.idle >= keepQuiet {
		b.v1, b.v2, b.packer.out, b.idle = &encoderV1{}, newEncoderV2(), nil, 0
	}
	b.most = 0
}
