package sim

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// source is a thing that the machine's probes read: a set of series that changes. It outlives the processes.
type source struct {
	name     string
	world    *world
	interval time.Duration
	own      bool // it gives times by itself

	mu      sync.Mutex
	rng     *rand.Rand
	members []int // numbers of the series that it has now
	created int   // series, ever
	rounds  int
	broken  bool
	hangs   time.Duration // each reading takes so long
	deaf    bool          // and does not end when it is told to
}

func newSource(w *world, i int, s SourceSetup) *source {
	x := &source{name: fmt.Sprintf("source%d", i), world: w, interval: s.Interval, own: s.Own, rng: rand.New(rand.NewPCG(w.plan.Seed, uint64(i)))}
	x.resize(s.Series)
	return x
}

// resize makes the source have n series: new ones come, or the oldest go.
func (s *source) resize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.members) < n {
		s.members = append(s.members, s.created)
		s.created++
	}
	s.members = s.members[len(s.members)-n:]
}

func (s *source) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.members)
}

// churn replaces n series by new ones.
func (s *source) churn(n int) {
	s.mu.Lock()
	size := len(s.members)
	s.members = s.members[min(n, size):]
	s.mu.Unlock()
	s.resize(size)
}

func (s *source) change(f func(*source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// reader is a probe of a process that reads a source.
type reader struct {
	source *source
	descs  []*metric.Desc
}

const families = 5

func (s *source) probe() *reader {
	r := &reader{source: s}
	for i := range families {
		r.descs = append(r.descs, &metric.Desc{
			Name: fmt.Sprintf("sim_%s_%d_total", s.name, i), Help: "Simulated.", Type: metric.Counter, Labels: []string{"n"},
		})
	}
	return r
}

var errBroken = fmt.Errorf("the source is broken")

// Collect gives each series a value that it never had before, so that a sample is known by it.
func (r *reader) Collect(ctx context.Context, out *metric.Set) error {
	s := r.source
	s.world.reading(s.name)
	s.mu.Lock()
	broken, hangs, deaf := s.broken, s.hangs, s.deaf
	s.rounds++
	round, members := s.rounds, s.members
	s.mu.Unlock()
	if hangs > 0 {
		over := ctx.Done()
		if deaf {
			over = nil
		}
		select {
		case <-over:
			return ctx.Err()
		case <-time.After(hangs):
		}
	}
	if broken {
		return errBroken
	}
	for _, n := range members {
		value := float64(round)
		kind := n % 4
		if s.world.plan.Setup.Noisy {
			kind = 2
		}
		switch kind {
		case 1:
			value = float64(round*7+n) / 10
		case 2: // hard to compress
			value = math.Float64frombits(uint64(round*4096+n%4096)*0x9E3779B97F4A7C15>>12 | 0x3ff<<52)
		case 3:
			value = -float64(round) * 1e6
		}
		switch round - n%20 { // what is easily lost on the way, once in a series
		case 3:
			value = math.Copysign(0, -1)
		case 4:
			value = math.NaN()
		case 5:
			value = math.Inf(1)
		}
		d := r.descs[n%families]
		if s.own {
			ref := out.Intern(metric.LabelsOf(d.Name, "n", fmt.Sprint(n)), d)
			out.AddRef(ref, value, s.world.clock.wall().Add(-time.Duration(n%7)*time.Second).UnixMilli())
			continue
		}
		out.Add(d, value, fmt.Sprint(n))
	}
	return nil
}

func (s *source) instance() probe.Instance {
	return probe.Instance{Kind: s.name, Probe: s.probe(), Interval: s.interval}
}
