package push

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"headend-agent/internal/metric"
)

// shaper turns the labels of a series into those that go out: external labels where the series has none of that name,
// then relabelling, whose results are remembered while they are asked for.
type shaper struct {
	external []metric.Label // sorted by name
	rules    []*relabel.Config
	scratch  []metric.Label

	shaped, before map[metric.Ref]shape // before is asked for what shaped does not have
	turned         time.Time            // when shaped became before
}

// shape is a result of relabelling.
type shape struct {
	labels metric.Labels // "" means dropped by a rule
	whole  bool          // all external labels are in it
}

// What was not asked for since the turn before the last is forgotten.
const (
	turnAfter  = 30 * time.Minute
	turnBeyond = 50_000 // series
)

func newShaper(external []metric.Label, rules []*relabel.Config) *shaper {
	return &shaper{external: sortedLabels(external), rules: rules, shaped: map[metric.Ref]shape{}, turned: time.Now()}
}

// sortedLabels returns the labels that are not empty, by name.
func sortedLabels(ls []metric.Label) []metric.Label {
	ls = slices.DeleteFunc(slices.Clone(ls), func(l metric.Label) bool { return l.Value == "" })
	slices.SortFunc(ls, func(a, b metric.Label) int { return strings.Compare(a.Name, b.Name) })
	return ls
}

// labels returns the labels, sorted by name, valid until the next call; none when the series is not to be sent. whole tells that
// all external labels are among them.
func (s *shaper) labels(ref metric.Ref) (ls []metric.Label, whole bool) {
	s.scratch = s.scratch[:0]
	if len(s.rules) == 0 {
		return s.scratch, s.merge(&ref.Labels)
	}
	out, known := s.shaped[ref]
	if !known {
		if out, known = s.before[ref]; !known {
			s.merge(&ref.Labels)
			out = s.relabel()
			s.scratch = s.scratch[:0]
		}
		s.remember(ref, out)
	}
	for n, v := range out.labels.All() {
		s.scratch = append(s.scratch, metric.Label{Name: n, Value: v})
	}
	return s.scratch, out.whole
}

func (s *shaper) remember(ref metric.Ref, out shape) {
	if len(s.shaped) >= turnBeyond || time.Since(s.turned) >= turnAfter {
		s.before, s.shaped, s.turned = s.shaped, map[metric.Ref]shape{}, time.Now()
	}
	s.shaped[ref] = out
}

// merge appends own and external labels to scratch, sorted; a series' own label wins. It tells whether none of them had to.
func (s *shaper) merge(own *metric.Interned) (whole bool) {
	ext, whole := s.external, true
	for n, v := range own.All() {
		for len(ext) > 0 && ext[0].Name < n {
			s.scratch = append(s.scratch, ext[0])
			ext = ext[1:]
		}
		if len(ext) > 0 && ext[0].Name == n {
			whole = whole && ext[0].Value == v
			ext = ext[1:]
		}
		s.scratch = append(s.scratch, metric.Label{Name: n, Value: v})
	}
	s.scratch = append(s.scratch, ext...)
	return whole
}

// relabel applies the rules to scratch.
func (s *shaper) relabel() shape {
	base := labels.NewScratchBuilder(len(s.scratch))
	for _, l := range s.scratch {
		base.Add(l.Name, l.Value)
	}
	b := labels.NewBuilder(base.Labels())
	if !relabel.ProcessBuilder(b, s.rules...) {
		return shape{}
	}
	var out []metric.Label
	found := 0
	b.Labels().Range(func(l labels.Label) {
		out = append(out, metric.Label{Name: l.Name, Value: l.Value})
		if slices.Contains(s.external, out[len(out)-1]) {
			found++
		}
	})
	return shape{metric.NewLabels(out), found == len(s.external)}
}
