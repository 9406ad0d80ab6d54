package stream

// value is a reading that may be absent.
type value struct {
	v  float64
	ok bool
}

func some(v float64) value { return value{v, true} }

// or returns v, or w where v is absent.
func (v value) or(w value) value {
	if v.ok {
		return v
	}
	return w
}

func (v value) times(k float64) value { return value{v.v * k, v.ok} }

// over divides: by 1000, it is more exact than times 0.001.
func (v value) over(k float64) value { return value{v.v / k, v.ok} }

// plus adds where both are known, and else returns the one that is.
func (v value) plus(w value) value {
	if !v.ok {
		return w
	}
	return value{v.v + w.v, true}
}

// seconds reads a Unix time whose unit differs by version: beyond the year 5138 in seconds it is in milliseconds.
func (v value) seconds() value {
	if v.v > 1e11 {
		return v.over(1000)
	}
	return v
}

// tree says which numbers of a JSON object are wanted, and which of the caller's values each one is.
type tree map[string]node

type node struct {
	at  int
	sub tree
}

func leaf(at int) node   { return node{at: at} }
func branch(t tree) node { return node{sub: t} }

// take takes the numbers of the object that comes next. Any other value, null among them, leaves them absent.
func (t tree) take(s *scanner, into []value) {
	for k := range s.fields() {
		t.one(s, k, into)
	}
}

// one takes what stands under one key.
func (t tree) one(s *scanner, key []byte, into []value) {
	n, known := t[string(key)]
	switch {
	case !known:
		s.skip()
	case n.sub != nil:
		n.sub.take(s, into)
	default:
		if v, ok := s.number(); ok {
			into[n.at] = some(v)
		}
	}
}
