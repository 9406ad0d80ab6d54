package metric

import (
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"
)

// pairs numbers labels that come in several series, so that a series is a few numbers. A label that comes for the first time stays
// spelled out in its series: of the values that only one series has, a dictionary would only be the larger copy. A Table's lock
// guards all but cut.
type pairs struct {
	pages   [maxPages]atomic.Pointer[[pageLength]Label]
	numbers map[Label]uint64
	next    uint64 // number that was never given
	free    []uint64
	seed    maphash.Seed
	seen    [1 << 16]uint8 // by one part of the hash, another one: what has come before, about
}

const (
	pageLength = 256
	maxPages   = 2048 // what is beyond is spelled out
)

func newPairs() *pairs { return &pairs{numbers: map[Label]uint64{}, seed: maphash.MakeSeed()} }

// encode writes each label as the uvarint of 1 + its number, or as 0 and what Labels has of it.
func (p *pairs) encode(labels Labels) string {
	var room [128]byte
	b := room[:0]
	for n, v := range labels.All() {
		if number, ok := p.number(Label{n, v}); ok {
			b = binary.AppendUvarint(b, number+1)
		} else {
			b = appendString(appendString(append(b, 0), n), v)
		}
	}
	return string(b)
}

// spell is encode without numbers.
func spell(labels Labels) string {
	var b []byte
	for n, v := range labels.All() {
		b = appendString(appendString(append(b, 0), n), v)
	}
	return string(b)
}

// cut takes the first label off a series' code. It allocates nothing, and may be called from any goroutine for a series that
// is in use.
func (p *pairs) cut(code string) (l Label, rest string) {
	number, rest := cutUvarint(code)
	if number > 0 {
		return p.pages[(number-1)/pageLength].Load()[(number-1)%pageLength], rest
	}
	l.Name, rest, _ = cutString(rest)
	l.Value, rest, _ = cutString(rest)
	return l, rest
}

// number returns the number of a label, which gets one when it comes for the second time.
func (p *pairs) number(l Label) (uint64, bool) {
	if n, ok := p.numbers[l]; ok {
		return n, true
	}
	h := 31*maphash.String(p.seed, l.Name) + maphash.String(p.seed, l.Value)
	if tag := uint8(h>>16) | 1; p.seen[h&0xffff] != tag {
		p.seen[h&0xffff] = tag
		return 0, false
	}
	n := p.next
	switch {
	case len(p.free) > 0:
		n = p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
	case n == pageLength*maxPages:
		return 0, false
	default:
		p.next++
	}
	page := &p.pages[n/pageLength]
	if page.Load() == nil {
		page.Store(new([pageLength]Label))
	}
	both := l.Name + l.Value // a copy, at one allocation
	l = Label{both[:len(l.Name)], both[len(l.Name):]}
	page.Load()[n%pageLength] = l
	p.numbers[l] = n
	return n, true
}

// marks are the numbers that are in use.
type marks []bool

func (p *pairs) marks() marks { return make(marks, p.next) }

func (m marks) mark(code string) {
	for code != "" {
		var number uint64
		if number, code = cutUvarint(code); number > 0 {
			m[number-1] = true
			continue
		}
		_, code, _ = cutString(code)
		_, code, _ = cutString(code)
	}
}

// release gives up the numbers that are not marked.
func (p *pairs) release(used marks) {
	for l, n := range p.numbers {
		if !used[n] {
			delete(p.numbers, l)
			p.pages[n/pageLength].Load()[n%pageLength] = Label{}
			p.free = append(p.free, n)
		}
	}
}
