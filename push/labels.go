package push

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"headend-agent/internal/metric"
)

// shaper turns the labels of a series into those that go out: external labels where the series has none of that name,
// then relabelling, whose results are remembered.
type shaper struct {
	external []metric.Label // sorted by name
	rules    []*relabel.Config
	shaped   map[metric.Ref]metric.Labels // "" means dropped by a rule
	scratch  []metric.Label
}

// remembered bounds shaped; beyond it everything is forgotten and worked out again.
const remembered = 200_000

func newShaper(external []metric.Label, rules []*relabel.Config) *shaper {
	external = slices.Clone(external)
	slices.SortFunc(external, func(a, b metric.Label) int { return strings.Compare(a.Name, b.Name) })
	external = slices.DeleteFunc(external, func(l metric.Label) bool { return l.Value == "" })
	return &shaper{external: external, rules: rules, shaped: map[metric.Ref]metric.Labels{}}
}

// labels returns the labels, sorted by name, valid until the next call; none when the series is not to be sent.
func (s *shaper) labels(ref metric.Ref) []metric.Label {
	s.scratch = s.scratch[:0]
	if len(s.rules) == 0 {
		s.merge(ref.Labels)
		return s.scratch
	}
	out, known := s.shaped[ref]
	if !known {
		s.merge(ref.Labels)
		out = s.relabel()
		if len(s.shaped) >= remembered {
			clear(s.shaped)
		}
		s.shaped[ref] = out
		s.scratch = s.scratch[:0]
	}
	for n, v := range out.All() {
		s.scratch = append(s.scratch, metric.Label{Name: n, Value: v})
	}
	return s.scratch
}

// merge appends own and external labels to scratch, sorted; a series' own label wins.
func (s *shaper) merge(own metric.Labels) {
	ext := s.external
	for n, v := range own.All() {
		for len(ext) > 0 && ext[0].Name < n {
			s.scratch = append(s.scratch, ext[0])
			ext = ext[1:]
		}
		if len(ext) > 0 && ext[0].Name == n {
			ext = ext[1:]
		}
		s.scratch = append(s.scratch, metric.Label{Name: n, Value: v})
	}
	s.scratch = append(s.scratch, ext...)
}

func (s *shaper) relabel() metric.Labels {
	base := labels.NewScratchBuilder(len(s.scratch))
	for _, l := range s.scratch {
		base.Add(l.Name, l.Value)
	}
	b := labels.NewBuilder(base.Labels())
	if !relabel.ProcessBuilder(b, s.rules...) {
		return ""
	}
	var out []metric.Label
	b.Labels().Range(func(l labels.Label) { out = append(out, metric.Label{Name: l.Name, Value: l.Value}) })
	return metric.NewLabels(out)
}
