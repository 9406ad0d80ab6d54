package gpu

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"headend-agent/internal/metric"
)

// count adds what the supervisor counts.
func (s *supervisor) count(ctx context.Context, out *metric.Set) {
	if s.take(ctx) != nil {
		return
	}
	defer s.give()
	out.Add(probeState, 1, s.state)
	for _, r := range reasons {
		out.Add(probeRestarts, float64(s.restarts[r]), r)
	}
	failed := slices.SortedFunc(maps.Keys(s.errors), func(a, b call) int { return cmp.Or(cmp.Compare(a.name, b.name), a.code-b.code) })
	for _, c := range failed {
		out.Add(probeErrors, float64(s.errors[c]), c.name, strconv.Itoa(c.code))
	}
}
