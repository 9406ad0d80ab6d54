package metric

import (
	"slices"
	"strings"
	"time"
	"unsafe"
)

// Set gathers what one run of a probe finds. The Runner owns it and lends it to one run at a time. It is made to be used
// again: when a run adds the same series in the same order as the last one, nothing is allocated and only
// numbers move. The zero Set is not usable: see NewSet.
type Set struct {
	table *Table
	limit int

	at      int              // in last, the series that Add expects
	misses  int              // of this run: series that were not where they were expected
	mended  map[Ref][]string // label values that are not as they were given
	scratch []Label
	packed  []byte

	// What this run has added, and the Series slice of the last round.
	refs    []Ref
	values  []float64
	own     []ownTime
	newest  map[Ref]int64 // the time of a series of own that was yielded last
	startMs int64
	last    []Ref // of the newest round that was not all stale markers
	live    bool  // last was sent, and not ended by stale markers
	over    int
	repeats int
}

type ownTime struct {
	ref   Ref
	value float64
	ms    int64
}

// A run may be in another order than the last one: a series is looked for so far ahead, and in so many cases.
const (
	lookAhead = 64
	maxMisses = 1000
)

// NewSet returns an empty Set. A run may add at most limit series; what is beyond is counted and dropped.
func NewSet(t *Table, limit int) *Set {
	return &Set{table: t, limit: limit, mended: map[Ref][]string{}, newest: map[Ref]int64{}}
}

// Add adds a sample. labelValues go with d.Labels; an empty value leaves its label out. An absent reading is no
// Add, never a 0.
func (s *Set) Add(d *Desc, value float64, labelValues ...string) {
	if len(labelValues) != len(d.Labels) {
		panic("metric: " + d.Name + " got a wrong number of label values")
	}
	if !s.Room() {
		return
	}
	ref := s.expected(d, labelValues)
	if ref == nil {
		ref = s.make(d, labelValues)
	}
	s.refs = append(s.refs, ref)
	s.values = append(s.values, value)
}

// expected returns the series if it is where the last run had it, or a little further; nil otherwise.
func (s *Set) expected(d *Desc, values []string) Ref {
	end := min(len(s.last), s.at+lookAhead)
	if s.misses >= maxMisses {
		end = min(end, s.at+1)
	}
	for i := s.at; i < end; i++ {
		if ref := s.last[i]; s.is(ref, d, values) {
			s.at = i + 1
			return ref
		}
	}
	s.misses++
	return nil
}

func (s *Set) is(ref Ref, d *Desc, values []string) bool {
	if ref.Desc() != d {
		return false
	}
	return ref.Labels.has(d, values) || len(s.mended) > 0 && s.mended[ref] != nil && slices.Equal(s.mended[ref], values)
}

// make interns a series, from memory that is used again.
func (s *Set) make(d *Desc, values []string) Ref {
	s.scratch = append(s.scratch[:0], Label{NameLabel, d.Name})
	for i, v := range values {
		s.scratch = append(s.scratch, Label{d.Labels[i], v})
	}
	s.packed = appendPacked(s.packed[:0], s.scratch)
	ref := s.table.Intern(Labels(unsafe.String(unsafe.SliceData(s.packed), len(s.packed))), d)
	if !ref.Labels.has(d, values) { // what is no UTF-8 was replaced
		if len(s.mended) > 2*len(s.last)+100 { // most of them no longer come
			clear(s.mended)
		}
		s.mended[ref] = cloned(values)
	}
	return ref
}

func cloned(values []string) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = strings.Clone(v)
	}
	return all
}

// Intern returns the Ref of a label set, for probes that keep Refs by themselves and use AddRef. d may be shared
// by the series of a family.
func (s *Set) Intern(labels Labels, d *Desc) Ref { return s.table.Intern(labels, d) }

// AddRef adds a sample of an interned series. timeMs is the source's own Unix time in milliseconds, or 0 for the round's.
// As in Prometheus, a series with times of its own gets no stale marker.
func (s *Set) AddRef(ref Ref, value float64, timeMs int64) {
	switch {
	case timeMs == 0:
		s.put(ref, value)
	case len(s.own) >= s.limit:
		s.over++
	default:
		s.own = append(s.own, ownTime{ref, value, timeMs})
	}
}

func (s *Set) put(ref Ref, value float64) {
	if len(s.refs) >= s.limit {
		s.over++
		return
	}
	if s.at < len(s.last) && s.last[s.at] == ref {
		s.at++
	}
	s.refs = append(s.refs, ref)
	s.values = append(s.values, value)
}

// Since tells when the counters of this run began to count: for the host's, its boot.
func (s *Set) Since(t time.Time) { s.startMs = t.UnixMilli() }

// Len returns how many samples the run has added.
func (s *Set) Len() int { return len(s.refs) + len(s.own) }

// Counts returns what the last run lost: samples beyond the limit, and repeats of a series within the run.
func (s *Set) Counts() (over, repeats int) { return s.over, s.repeats }

// Reset begins a run. Slices of rounds that End returned are no longer valid, except Series.
func (s *Set) Reset() {
	s.at, s.misses = 0, 0
	s.refs = s.refs[:0]
	s.values = s.values[:0]
	s.own = s.own[:0]
	s.startMs = 0
	s.over, s.repeats = 0, 0
}

// End ends a run and yields its rounds in order of time: those with times of their own, then the one that bears at's time.
// Series of the last run that did not come again are ended by a stale marker in it. The rounds are valid until Reset.
func (s *Set) End(at Round, yield func(Round)) {
	s.endOwn(at, yield)
	if at.StartMs == 0 && !at.Unset {
		at.StartMs = s.startMs
	}
	if !s.live || !slices.Equal(s.refs, s.last) {
		s.settle()
	}
	at.Series, at.Values = s.last, s.values
	if len(s.values) > len(s.last) { // the vanished, for this round only
		at.Series = slices.Clone(s.refs)
	}
	s.live = true
	if len(at.Values) > 0 {
		yield(at)
	}
}

// settle makes last the list of this run, without repeats, and appends stale markers for the vanished to refs and values.
func (s *Set) settle() {
	seen := make(map[Ref]bool, len(s.refs))
	n := 0
	for i, r := range s.refs {
		if seen[r] {
			s.repeats++
			continue
		}
		seen[r] = true
		s.refs[n], s.values[n] = r, s.values[i]
		n++
	}
	s.refs, s.values = s.refs[:n], s.values[:n]
	before, live := s.last, s.live
	if !slices.Equal(s.refs, s.last) {
		s.last = slices.Clone(s.refs)
	}
	if !live {
		return
	}
	for _, r := range before {
		if !seen[r] {
			s.refs = append(s.refs, r)
			s.values = append(s.values, Stale())
		}
	}
}

// Fail ends a run that failed: what it added is discarded and every live series ended by a stale marker.
func (s *Set) Fail(at Round, yield func(Round)) {
	if !s.live || len(s.last) == 0 {
		return
	}
	s.live = false
	s.values = s.values[:0]
	for range s.last {
		s.values = append(s.values, Stale())
	}
	at.Series, at.Values = s.last, s.values
	yield(at)
}

// endOwn yields one round for each time that the source gave by itself.
func (s *Set) endOwn(at Round, yield func(Round)) {
	clear(s.newest)
	slices.SortStableFunc(s.own, func(a, b ownTime) int { return int(min(max(a.ms-b.ms, -1), 1)) })
	at.StartMs, at.Epoch, at.Unset = 0, 0, false
	for from := 0; from < len(s.own); {
		to := from
		r := at
		r.TimeMs = s.own[from].ms
		r.Series, r.Values = nil, nil
		for ; to < len(s.own) && s.own[to].ms == r.TimeMs; to++ {
			x := s.own[to]
			if last, ok := s.newest[x.ref]; ok && x.ms == last {
				s.repeats++
				continue
			}
			s.newest[x.ref] = x.ms
			r.Series = append(r.Series, x.ref)
			r.Values = append(r.Values, x.value)
		}
		yield(r)
		from = to
	}
}

// Live returns the series that the last run left alive.
func (s *Set) Live() []Ref {
	if !s.live {
		return nil
	}
	return s.last
}

// Heir returns a Set that knows which series are live, for a probe whose run keeps the old one for ever.
func (s *Set) Heir() *Set {
	h := NewSet(s.table, s.limit)
	h.last, h.live = s.last, s.live
	return h
}
