package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"headend-agent/internal/metric"
)

// job is an instance at work: one run in flight at most, ever.
type job struct {
	Instance
	runner *Runner
	set    *metric.Set
	stuck  <-chan error // answers when a run that was given up has returned; nil while there is none
	last   stamp        // of the newest round
	off    bool         // it has panicked: off until the next Apply

	mu     sync.Mutex
	latest []metric.Round
	state  state
	due    time.Time // by when the loop has to have turned; zero while it does not run
}

// state is what the runner tells about a probe.
type state struct {
	runs, failed, late, skipped, panics, overLimit, repeats uint64
	lastErr                                                 string // of the newest run; "" when it went well
	lastRun, lastSuccess                                    time.Time
	duration                                                time.Duration
	series                                                  int
}

// grace is how long a run may take to notice that its time is over.
const grace = 100 * time.Millisecond

var errLate = errors.New("did not answer in time")

type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

func (j *job) loop(ctx context.Context) {
	defer j.ended()
	tick := time.Duration(0)
	for first := true; ; first = false {
		j.expect(j.timeout() + grace)
		if at, ok := j.runner.clock.stamp(tick); j.ready(at, ok) {
			j.run(ctx, at)
		}
		if ctx.Err() != nil || j.off {
			return
		}
		var wait time.Duration
		tick, wait = j.runner.clock.next(j.Interval, j.runner.offset(j.Interval))
		if first && wait < j.Interval/4 { // too soon after the start: rates over so short a time say nothing
			tick, wait = tick+j.Interval, wait+j.Interval
		}
		j.expect(wait)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// ready tells whether a tick is to be used. It is not while the run before is stuck, nor while the clock, having gone back
// a little, has not caught up.
func (j *job) ready(at stamp, caughtUp bool) bool {
	if j.stuck != nil {
		select {
		case <-j.stuck:
			j.stuck = nil
		default:
		}
	}
	if j.stuck == nil && caughtUp && at.after(j.last) {
		return true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state.skipped++
	return false
}

func (j *job) run(ctx context.Context, at stamp) {
	run, cancel := context.WithTimeout(ctx, j.timeout())
	defer cancel()
	set := j.set
	set.Reset()
	start := time.Now()
	done := make(chan error, 1)
	go func() { done <- collect(run, j.Probe, set) }()
	var err error
	select {
	case err = <-done:
	case <-run.Done():
		err = errLate
		select {
		case <-done:
		case <-time.After(grace): // it does not even notice: leave the set to it
			j.stuck = done
			j.set = set.Heir()
		}
	}
	if ctx.Err() != nil {
		return // stopping: no verdict on the source
	}
	j.note(start, err)
	j.last = at
	if err != nil && !errors.As(err, new(*Partial)) {
		j.off = errors.As(err, new(panicked))
		j.fail(at)
		return
	}
	stepped := j.runner.clock.steppedSince(at)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.latest = j.latest[:0]
	set.End(j.round(at), func(r metric.Round) {
		switch {
		case stepped:
			r.StartMs = 0
		case r.StartMs != 0:
			r.StartMs -= at.shift
		}
		j.keep(r)
		j.runner.sink(r)
	})
	over, repeats := set.Counts()
	j.state.overLimit += uint64(over)
	j.state.repeats += uint64(repeats)
	j.state.series = len(set.Live())
}

func collect(ctx context.Context, p Probe, out *metric.Set) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w\n%s", panicked{v}, debug.Stack())
		}
	}()
	return p.Collect(ctx, out)
}

// end ends the series of a job that will not run again, after its last round by any clock.
func (j *job) end() {
	at, _ := j.runner.clock.stamp(0)
	if !at.after(j.last) {
		at = j.last
		at.ms, at.line = at.ms+1, at.line+1
	}
	j.fail(at)
}

// fail ends the job's series.
func (j *job) fail(at stamp) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.latest = j.latest[:0]
	j.state.series = 0
	j.set.Fail(j.round(at), j.runner.sink)
}

func (j *job) round(at stamp) metric.Round {
	return metric.Round{Source: j.Source(), TimeMs: at.ms, Epoch: at.epoch, Unset: at.unset}
}

// keep copies a round for those who pull, into the memory of the one before.
func (j *job) keep(r metric.Round) {
	n := len(j.latest)
	if n < cap(j.latest) {
		j.latest = j.latest[:n+1]
	} else {
		j.latest = append(j.latest, metric.Round{})
	}
	r.Values = append(j.latest[n].Values[:0], r.Values...)
	j.latest[n] = r
}

// note counts a run and logs it when its result is another than that of the last.
func (j *job) note(start time.Time, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := &j.state
	s.runs++
	s.lastRun, s.duration = start, time.Since(start)
	text := ""
	if err != nil {
		text = err.Error()
		s.failed++
	} else {
		s.lastSuccess = start
	}
	if errors.Is(err, errLate) || errors.Is(err, context.DeadlineExceeded) {
		s.late++
	}
	switch {
	case errors.As(err, new(panicked)):
		s.panics++
		j.log().Error("the probe is broken and stays off until a reload; please report this", "error", text)
	case text != "" && text != s.lastErr:
		j.log().Warn("probe failed; its series have ended until it works again", "error", text)
	case text == "" && s.lastErr != "":
		j.log().Info("probe works again")
	}
	s.lastErr = text
}

func (j *job) log() *slog.Logger {
	if j.Target == "" {
		return j.runner.log.With("probe", j.Kind)
	}
	return j.runner.log.With("probe", j.Kind, "target", j.Target)
}
