package buffer

import (
	"math/rand/v2"
	"testing"
)

// TestSpans compares the operations with those on a set of numbers.
func TestSpans(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const top = 40
	for range 2000 {
		var l spans
		set := map[uint64]bool{}
		for range 12 {
			s := span{r.Uint64N(top), r.Uint64N(top)}
			before := append(spans(nil), l...)
			was := l
			add := r.IntN(3) > 0
			if add {
				l = l.add(s)
			} else {
				l = l.subtract(s)
			}
			for n := s.from; n < s.to; n++ {
				if set[n] = add; !add {
					delete(set, n)
				}
			}
			for i := range before {
				if was[i] != before[i] {
					t.Fatalf("%v became %v", before, was)
				}
			}
			if int(l.count()) != len(set) {
				t.Fatalf("%v has %d numbers, want %d", l, l.count(), len(set))
			}
			for i, x := range l {
				if x.empty() || i > 0 && x.from <= l[i-1].to {
					t.Fatalf("%v are not in order", l)
				}
				for n := x.from; n < x.to; n++ {
					if !set[n] {
						t.Fatalf("%v has %d", l, n)
					}
				}
			}
			q, n := span{r.Uint64N(top), r.Uint64N(top)}, 0
			for k := range set {
				if q.from <= k && k < q.to {
					n++
				}
			}
			if got := l.within(q); int(got.count()) != n {
				t.Fatalf("%v within %v is %v", l, q, got)
			}
		}
	}
}
