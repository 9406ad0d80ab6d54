package metric

import (
	"strings"
	"sync"
	"sync/atomic"
	"weak"
)

// Series is one interned label set. There is one Series for a label set in a Table: compare by pointer.
type Series struct {
	Labels Labels
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
	series map[Labels]weak.Pointer[Series]
	sweep  int // size at which the dead are cleared out
}

const firstSweep = 4096

// NewTable returns an empty table. A process needs one, shared by all parts.
func NewTable() *Table {
	return &Table{series: map[Labels]weak.Pointer[Series]{}, sweep: firstSweep}
}

// Intern returns the series with these labels. d, if not nil, becomes its Desc; labels may share memory with a buffer
// that the caller uses again.
func (t *Table) Intern(labels Labels, d *Desc) Ref {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.series[labels].Value(); s != nil {
		if d != nil && s.desc.Load() != d {
			s.desc.Store(d)
		}
		return s
	}
	if len(t.series) >= t.sweep {
		for l, w := range t.series {
			if w.Value() == nil {
				delete(t.series, l)
			}
		}
		t.sweep = max(firstSweep, 2*len(t.series))
	}
	s := &Series{Labels: Labels(strings.Clone(string(labels)))}
	if d != nil {
		s.desc.Store(d)
	}
	t.series[s.Labels] = weak.Make(s)
	return s
}

// Len returns how many series the table knows, dead ones that are not cleared out yet included.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.series)
}
