package metric

import (
	"iter"
	"runtime"
	"slices"
	"strings"
)

// Interned is the label set of a series: most of it is in the dictionary of its Table, for as long as somebody holds the series. So
// it is used where it is, by pointer. Compare series, or packed sets, for equality.
type Interned struct {
	_     [0]func() // no ==: a label may be in the dictionary or not
	pairs *pairs
	code  string // as pairs.encode writes it
}

// All yields the labels' names and values in order, without allocating.
func (l *Interned) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for rest := l.code; rest != ""; {
			var x Label
			if x, rest = l.pairs.cut(rest); !yield(x.Name, x.Value) {
				return
			}
		}
		runtime.KeepAlive(l) // its numbers are its own for as long as it lives
	}
}

// Append appends the packed labels to b.
func (l *Interned) Append(b []byte) []byte {
	for n, v := range l.All() {
		b = appendString(appendString(b, n), v)
	}
	return b
}

// Packed returns the packed labels, made anew.
func (l *Interned) Packed() Labels { return Labels(l.Append(nil)) }

// Get returns the value of a label, or "".
func (l *Interned) Get(name string) string { return get(l.All(), name) }

// Name returns the metric name, or "".
func (l *Interned) Name() string { return l.Get(NameLabel) }

// String returns the set as PromQL writes it. It has no pointer, so that a series' labels can be printed.
func (l Interned) String() string { return string(appendText(nil, l.All())) }

// Compare orders label sets: those of one name, or with the same first labels, side by side.
func (l *Interned) Compare(other *Interned) int {
	restA, restB := l.code, other.code
	for restA != "" && restB != "" {
		var x, y Label
		x, restA = l.pairs.cut(restA)
		y, restB = other.pairs.cut(restB)
		if x != y {
			return compareShortFirst(x, y)
		}
	}
	runtime.KeepAlive(l)
	runtime.KeepAlive(other)
	return len(restA) - len(restB)
}

func compareShortFirst(x, y Label) int {
	if n := len(x.Name) - len(y.Name); n != 0 {
		return n
	}
	if n := strings.Compare(x.Name, y.Name); n != 0 {
		return n
	}
	if n := len(x.Value) - len(y.Value); n != 0 {
		return n
	}
	return strings.Compare(x.Value, y.Value)
}

// is tells whether these are the set's.
func (l *Interned) is(labels Labels) bool {
	rest := string(labels)
	for n, v := range l.All() {
		var name, value string
		name, rest, _ = cutString(rest)
		if value, rest, _ = cutString(rest); name != n || value != v {
			return false
		}
	}
	return rest == ""
}

// has tells whether the set is that of d with these label values.
func (l *Interned) has(d *Desc, values []string) bool {
	given, at := 0, 0
	for rest := l.code; rest != ""; {
		var x Label
		if x, rest = l.pairs.cut(rest); x.Name == NameLabel && x.Value == d.Name {
			continue
		}
		if at >= len(d.Labels) || d.Labels[at] != x.Name { // most are sorted by name
			at = slices.Index(d.Labels, x.Name)
		}
		if at < 0 || values[at] != x.Value {
			return false
		}
		given++
		at++
	}
	for _, v := range values {
		if v == "" {
			given++
		}
	}
	runtime.KeepAlive(l)
	return given == len(values)
}
