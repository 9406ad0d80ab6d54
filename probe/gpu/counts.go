package gpu

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/probe/gpu/nvmlchild"
)

// counts are what outlives a child.
type counts struct {
	restarts map[string]uint64 // by reason
	errors   map[call]uint64
	xids     map[xid]xidCount
}

// call is a call to the driver with the code by which it failed.
type call struct {
	name string
	code int
}

type xid struct {
	pci  string
	code uint64
}

type xidCount struct {
	n    uint64
	last time.Time
}

// At most so many are counted apart.
const (
	callLimit = 256
	xidLimit  = 1000
)

// note counts what a report tells once only.
func (c *counts) note(r *nvmlchild.Report) {
	for _, e := range r.Errors {
		if k := (call{e.Call, e.Code}); c.errors[k] > 0 || len(c.errors) < callLimit {
			c.errors[k] += e.N
		}
	}
	for _, x := range r.XIDs {
		k := xid{x.PCI, x.XID}
		if was, known := c.xids[k]; known || len(c.xids) < xidLimit {
			c.xids[k] = xidCount{was.n + x.N, time.Now()}
		}
	}
}

// count adds what the supervisor counts. label is the value of the label "gpu" by PCI address.
func (s *supervisor) count(ctx context.Context, out *metric.Set, label func(pci string) string) {
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
	told := slices.SortedFunc(maps.Keys(s.xids), func(a, b xid) int { return cmp.Or(cmp.Compare(a.pci, b.pci), cmp.Compare(a.code, b.code)) })
	for _, x := range told {
		c, code := s.xids[x], strconv.FormatUint(x.code, 10)
		out.Add(xidErrors, float64(c.n), label(x.pci), x.pci, code)
		out.Add(xidTime, float64(c.last.Unix()), label(x.pci), x.pci, code)
	}
}
