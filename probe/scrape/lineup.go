package scrape

import (
	"cmp"
	"slices"

	"headend-agent/internal/metric"
)

// lineup is what the series of the last run stand for, in the order in which they came. Most expositions keep it, so that a list does, at
// a third of the memory of a map.
type lineup struct {
	last   []known
	next   []known  // this run's, from where it left the order of the last; nil while it has not
	length int      // of this run's
	at     int      // in last, where the next series is expected
	byText []uint32 // places in last, sorted, once one was not near where it was expected
}

// known is a series as the exposition writes it. ref is nil where relabelling drops it.
type known struct {
	text    uint64 // the hash of it, by a seed of the relay's own: among the few that it is compared with, no other has it
	ref     metric.Ref
	edition uint32 // of the metadata it was learned under
	owned   bool   // dropped by rules.owners
}

// lookAhead is how far beyond the place where a series is expected it is looked for first.
const lookAhead = 16

// begin begins a run.
func (l *lineup) begin() { *l = lineup{last: l.last} }

// find returns what the last run knew of the next series.
func (l *lineup) find(text uint64) (k known, ok bool) {
	for i := l.at; i < min(l.at+lookAhead, len(l.last)); i++ {
		if l.last[i].text == text {
			l.at = i + 1
			return l.last[i], true
		}
	}
	if l.byText == nil {
		l.byText = make([]uint32, len(l.last))
		for i := range l.byText {
			l.byText[i] = uint32(i)
		}
		slices.SortFunc(l.byText, func(i, j uint32) int { return cmp.Compare(l.last[i].text, l.last[j].text) })
	}
	i, ok := slices.BinarySearchFunc(l.byText, text, func(i uint32, text uint64) int { return cmp.Compare(l.last[i].text, text) })
	if !ok {
		return known{}, false
	}
	l.at = int(l.byText[i]) + 1
	return l.last[l.at-1], true
}

// put enters the next series.
func (l *lineup) put(k known) {
	if l.next == nil {
		if l.length < len(l.last) && l.last[l.length].text == k.text {
			l.last[l.length] = k
			l.length++
			return
		}
		l.next = append(make([]known, 0, len(l.last)+1), l.last[:l.length]...)
	}
	l.next = append(l.next, k)
	l.length++
}

// end ends a run. One that has failed has perhaps not come to the end: what is known of the most series is kept.
func (l *lineup) end(failed bool) {
	switch {
	case failed && l.length <= len(l.last):
	case l.next != nil:
		l.last = l.next
	default:
		clear(l.last[l.length:])
		l.last = l.last[:l.length]
	}
	l.begin()
}
