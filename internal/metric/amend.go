package metric

// Mark is a place in a run, to come back to with Rewind.
type Mark struct{ refs, own, over, at int }

// Mark returns the place after what the run has added so far.
func (s *Set) Mark() Mark { return Mark{len(s.refs), len(s.own), s.over, s.at} }

// Rewind takes back what the run has added since m: for a source that turns out broken halfway.
func (s *Set) Rewind(m Mark) {
	s.refs, s.values = s.refs[:m.refs], s.values[:m.refs]
	s.own = s.own[:m.own]
	s.over, s.at = m.over, m.at
}

// Amend changes the value of the i-th sample of the run, those with times of their own not counted: for one that is
// known only at the end but must not fall to the limit. It does nothing where there is no such sample.
func (s *Set) Amend(i int, value float64) {
	if i < len(s.values) {
		s.values[i] = value
	}
}

// Room tells whether the run may add another sample; where it may not, one is counted as beyond the limit. It spares a source the
// trouble of making series that would only be dropped.
func (s *Set) Room() bool {
	if len(s.refs) < s.limit {
		return true
	}
	s.over++
	return false
}
