package buffer

import (
	"slices"
	"sort"
)

// span is a range of sample numbers, to excluded.
type span struct{ from, to uint64 }

func (s span) empty() bool { return s.from >= s.to }

// len is how many numbers the range has.
func (s span) len() uint64 {
	if s.empty() {
		return 0
	}
	return s.to - s.from
}

// meet returns what two ranges have in common, which may be empty.
func (s span) meet(o span) span { return span{max(s.from, o.from), min(s.to, o.to)} }

// shifted moves a range of provisional numbers.
func (s span) shifted(by uint64) span { return span{shifted(s.from, by), shifted(s.to, by)} }

// spans are ranges in order that neither overlap nor touch. Its methods leave the receiver as it is.
type spans []span

// find returns the first range that ends after a number.
func (l spans) find(seq uint64) int {
	return sort.Search(len(l), func(i int) bool { return l[i].to > seq })
}

// add returns the ranges with one more, which may overlap them.
func (l spans) add(s span) spans {
	if s.empty() {
		return l
	}
	i := sort.Search(len(l), func(i int) bool { return l[i].to >= s.from })
	j := i
	for ; j < len(l) && l[j].from <= s.to; j++ {
		s = span{min(s.from, l[j].from), max(s.to, l[j].to)}
	}
	return slices.Concat(l[:i], spans{s}, l[j:])
}

// subtract returns the ranges without the numbers of another one.
func (l spans) subtract(s span) spans {
	i := l.find(s.from)
	if s.empty() || i == len(l) || l[i].from >= s.to {
		return l
	}
	rest := slices.Clone(l[:i])
	for ; i < len(l); i++ {
		for _, part := range []span{{l[i].from, min(l[i].to, s.from)}, {max(l[i].from, s.to), l[i].to}} {
			if !part.empty() {
				rest = append(rest, part)
			}
		}
	}
	return rest
}

// within returns what a range has in common with the ranges.
func (l spans) within(s span) (common spans) {
	for i := l.find(s.from); i < len(l) && l[i].from < s.to; i++ {
		common = append(common, l[i].meet(s))
	}
	return common
}

// shifted moves provisional numbers.
func (l spans) shifted(by uint64) spans {
	moved := slices.Clone(l)
	for i := range moved {
		moved[i] = moved[i].shifted(by)
	}
	return moved
}

// count returns how many numbers the ranges have.
func (l spans) count() (n uint64) {
	for _, s := range l {
		n += s.len()
	}
	return n
}
