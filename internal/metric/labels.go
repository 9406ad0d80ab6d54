package metric

import (
	"encoding/binary"
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// NameLabel is the label that holds a series' metric name.
const NameLabel = "__name__"

// Label is one name and value.
type Label struct{ Name, Value string }

// Labels is a label set packed into one string: for each label, sorted by name, the uvarint length and the bytes of its
// name, then of its value. Equal sets are equal strings. There are no empty names or values in it: an empty value means
// that the label is absent, as in Prometheus.
type Labels string

// NewLabels packs ls, which it sorts in place. Empty values are left out, invalid UTF-8 is replaced; of a repeated name
// the first value stays.
func NewLabels(ls []Label) Labels { return Labels(appendPacked(nil, ls)) }

func appendPacked(b []byte, ls []Label) []byte {
	slices.SortStableFunc(ls, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	size := 0
	for _, l := range ls {
		size += len(l.Name) + len(l.Value) + 4
	}
	b = slices.Grow(b, size)
	last := ""
	for _, l := range ls {
		if l.Value == "" || l.Name == last {
			continue
		}
		last = l.Name
		b = appendString(appendString(b, l.Name), strings.ToValidUTF8(l.Value, "\uFFFD"))
	}
	return b
}

// LabelsOf packs name, value pairs under a metric name.
func LabelsOf(name string, pairs ...string) Labels {
	ls := []Label{{NameLabel, name}}
	for i := 0; i+1 < len(pairs); i += 2 {
		ls = append(ls, Label{pairs[i], pairs[i+1]})
	}
	return NewLabels(ls)
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// All yields names and values in order. They share the set's memory. It stops at damage: see Check.
func (l Labels) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		rest := string(l)
		for rest != "" {
			var name, value string
			var ok bool
			if name, rest, ok = cutString(rest); !ok {
				return
			}
			if value, rest, ok = cutString(rest); !ok || !yield(name, value) {
				return
			}
		}
	}
}

// cutString takes one length and its bytes off s.
func cutString(s string) (head, rest string, ok bool) {
	n, rest := cutUvarint(s)
	if len(rest) == len(s) || n > uint64(len(rest)) {
		return "", "", false
	}
	return rest[:n], rest[n:], true
}

// cutUvarint takes a number of up to 5 bytes off s; where there is none, all of s is left.
func cutUvarint(s string) (n uint64, rest string) {
	for i := 0; i < len(s) && i < 5; i++ {
		n |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return n, s[i+1:]
		}
	}
	return 0, s
}

// Get returns the value of a label, or "".
func (l Labels) Get(name string) string { return get(l.All(), name) }

func get(all iter.Seq2[string, string], name string) string {
	for n, v := range all {
		if n == name {
			return v
		}
	}
	return ""
}

// Name returns the metric name, or "".
func (l Labels) Name() string { return l.Get(NameLabel) }

// Check tells whether l is a set that NewLabels could have made: for bytes that come from outside, as from a disk.
func (l Labels) Check() error {
	last, used := "", 0
	for n, v := range l.All() {
		if n <= last || v == "" {
			return errors.New("label set is not sorted or has an empty part")
		}
		last = n
		used += uvarintLen(len(n)) + len(n) + uvarintLen(len(v)) + len(v)
	}
	if used != len(l) {
		return errors.New("label set is cut short")
	}
	return nil
}

func uvarintLen(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// String returns the set as PromQL writes it.
func (l Labels) String() string { return string(appendText(nil, l.All())) }

// appendText appends name{label="value",...}.
func appendText(b []byte, all iter.Seq2[string, string]) []byte {
	b = append(b, get(all, NameLabel)...)
	open := byte('{')
	for n, v := range all {
		if n == NameLabel {
			continue
		}
		b = append(append(append(b, open), n...), '=', '"')
		b = append(appendEscaped(b, v), '"')
		open = ','
	}
	if open == ',' {
		b = append(b, '}')
	}
	return b
}

func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '\\':
			b = append(b, '\\', '\\')
		case '"':
			b = append(b, '\\', '"')
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return b
}

func appendValue(b []byte, v float64) []byte {
	switch {
	case v != v:
		return append(b, "NaN"...)
	case v > maxFloat:
		return append(b, "+Inf"...)
	case v < -maxFloat:
		return append(b, "-Inf"...)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}
