package metric

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"weak"
)

// Series is one interned label set. There is one Series for a label set in a Table: compare by pointer.
type Series struct {
	Labels Interned
	desc   atomic.Pointer[Desc]
}

// Ref names a series in rounds. It stays valid while somebody holds it; there is nothing to release.
type Ref = *Series

var noDesc = new(Desc)

// Desc returns what the newest source of the series says about its family; never nil. Relayed histograms
// and summaries share the Desc of their family, so its Name may differ from the series' own.
func (s *Series) Desc() *Desc {
	if d := s.desc.Load(); d != nil {
		return d
	}
	return noDesc
}

// Table interns series. It holds them weakly: one that nobody refers to any more is forgotten.
type Table struct {
	mu     sync.Mutex
	pairs  *pairs
	seed   maphash.Seed
	series map[uint64]weak.Pointer[Series] // by hash of the labels
	sweep  int                             // size at which the dead are cleared out
}

const firstSweep = 4096

// NewTable returns an empty table. A process needs one, shared by all parts.
func NewTable() *Table {
	return &Table{pairs: newPairs(), seed: maphash.MakeSeed(), series: map[uint64]weak.Pointer[Series]{}, sweep: firstSweep}
}

// Intern returns the series with these labels. d, if not nil, becomes its Desc; labels may share memory with a buffer
// that the caller uses again.
func (t *Table) Intern(labels Labels, d *Desc) Ref {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := t.hash(labels)
	s := t.series[key].Value()
	known := s != nil && s.Labels.is(labels)
	switch {
	case known:
	case s != nil: // of the same hash: so rare that it may do without being shared
		s = &Series{Labels: Interned{pairs: t.pairs, code: spell(labels)}}
	default:
		if len(t.series) >= t.sweep {
			t.clear()
		}
		s = &Series{Labels: Interned{pairs: t.pairs, code: t.pairs.encode(labels)}}
		t.series[key] = weak.Make(s)
	}
	if d != nil && s.desc.Load() != d {
		s.desc.Store(d)
	}
	return s
}

func (t *Table) hash(l Labels) uint64 { return maphash.String(t.seed, string(l)) }

// clear drops dead series, and the pairs that only they had.
func (t *Table) clear() {
	used := t.pairs.marks()
	for key, w := range t.series {
		if s := w.Value(); s != nil {
			used.mark(s.Labels.code)
		} else {
			delete(t.series, key)
		}
	}
	t.pairs.release(used)
	t.sweep = max(firstSweep, 2*len(t.series))
}

// Len returns how many series the table knows, dead ones that are not cleared out yet included.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.series)
}
