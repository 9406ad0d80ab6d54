package probe

import (
	"context"
	"hash/fnv"
	"io"
	"log/slog"
	"sync"
	"time"

	"headend-agent/internal/metric"
)

// Instance is a probe with its place in the schedule.
type Instance struct {
	Kind     string // the label "probe"
	Target   string // the label "target"; "" for a probe that has no choice of target
	Probe    Probe
	Interval time.Duration
	Timeout  time.Duration // of one run; 0: nine tenths of Interval, at most 10 s
}

// Source names the instance in rounds; it is unique among instances.
func (i Instance) Source() metric.SourceID {
	if i.Target == "" {
		return metric.SourceID(i.Kind)
	}
	return metric.SourceID(i.Kind + "/" + i.Target)
}

const longestRun = 10 * time.Second

func (i Instance) timeout() time.Duration {
	if i.Timeout > 0 {
		return i.Timeout
	}
	return min(i.Interval*9/10, longestRun)
}

// Runner runs probes: the first round of each at once, then on ticks that are aligned to its interval, plus an offset that
// is the host's own, so that a fleet does not speak with one voice.
type Runner struct {
	table  *metric.Table
	clock  *Clock
	sink   func(metric.Round)
	spread uint64
	log    *slog.Logger

	mu     sync.Mutex
	jobs   []*job // in the order of the instances
	cancel context.CancelFunc
	loops  sync.WaitGroup
}

// NewRunner makes a runner that hands rounds to sink, from many goroutines; sink copies the values. host gives the offset.
func NewRunner(table *metric.Table, clock *Clock, sink func(metric.Round), host string, log *slog.Logger) *Runner {
	h := fnv.New64a()
	h.Write([]byte(host))
	return &Runner{table: table, clock: clock, sink: sink, spread: h.Sum64(), log: log, cancel: func() {}}
}

// SeriesLimit bounds the series of one probe. What is beyond is counted. A media server tells some 30 of each stream, and has
// up to a few thousand streams.
const SeriesLimit = 100_000

// Apply starts these instances and stops the ones before. A source that stays goes on as it was, where a run of it is
// still stuck it stays the only one; a source that goes has its series ended by stale markers. Neither Apply nor Stop is called
// while another Apply runs.
func (r *Runner) Apply(ctx context.Context, instances []Instance) {
	r.Stop()
	r.mu.Lock()
	before := map[metric.SourceID]*job{}
	for _, j := range r.jobs {
		before[j.Source()] = j
	}
	ctx, r.cancel = context.WithCancel(ctx)
	r.jobs = nil
	replaced := map[*job]Probe{}
	for _, i := range instances {
		j := &job{Instance: i, runner: r}
		if old := before[i.Source()]; old != nil {
			j.set, j.stuck, j.last, j.latest, j.state = old.set, old.stuck, old.last, old.latest, old.state
			delete(before, i.Source())
			replaced[j] = old.Probe
		} else {
			j.set = metric.NewSet(r.table, SeriesLimit)
		}
		r.jobs = append(r.jobs, j)
	}
	jobs := r.jobs
	r.mu.Unlock() // to close what a probe holds open may take seconds: pages must not wait for that

	for _, j := range jobs {
		if old, ok := replaced[j]; !ok {
			continue
		} else if heir, ok := j.Probe.(Heir); ok {
			heir.Inherit(old)
		} else {
			finish(old)
		}
	}
	for _, j := range jobs { // once all have inherited: one may hold what another one reads
		r.loops.Go(func() { j.loop(ctx) })
	}
	for _, j := range before {
		j.end()
		finish(j.Probe)
	}
}

// finish closes a probe that can be closed. An abandoned run of it may still be under way.
func finish(p Probe) {
	if c, ok := p.(io.Closer); ok {
		c.Close()
	}
}

// Stop ends the loops. It waits for running probes no longer than they take to notice, and leaves no stale markers.
func (r *Runner) Stop() {
	r.mu.Lock()
	cancel := r.cancel
	r.mu.Unlock()
	cancel()
	r.loops.Wait()
}

// Close stops the loops for good and closes what probes hold open. It returns when that is closed.
func (r *Runner) Close() {
	r.Stop()
	r.mu.Lock()
	jobs := r.jobs
	r.mu.Unlock()
	for _, j := range jobs {
		finish(j.Probe)
	}
}

// Latest yields what each probe found last, for those who pull. The rounds are valid during the call.
func (r *Runner) Latest(yield func(metric.Round)) {
	r.mu.Lock()
	jobs := r.jobs
	r.mu.Unlock()
	for _, j := range jobs {
		j.mu.Lock()
		for _, round := range j.latest {
			yield(round)
		}
		j.mu.Unlock()
	}
}

// offset is where in its interval the ticks of this host lie.
func (r *Runner) offset(interval time.Duration) time.Duration {
	return time.Duration(r.spread % uint64(interval))
}
