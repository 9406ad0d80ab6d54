package probe

import (
	"context"
	"time"

	"headend-agent/internal/metric"
)

// State is a probe as the runner sees it.
type State struct {
	Kind, Target         string
	Interval             time.Duration
	LastErr              string // of the newest run; "" when it went well, or while there was none
	LastRun, LastSuccess time.Time
	Duration             time.Duration // of the newest run
	Series               int
}

// States returns the state of every probe, in the order of Apply.
func (r *Runner) States() []State {
	r.mu.Lock()
	jobs := r.jobs
	r.mu.Unlock()
	states := make([]State, 0, len(jobs))
	for _, j := range jobs {
		j.mu.Lock()
		s := j.state
		states = append(states, State{j.Kind, j.Target, j.Interval, s.lastErr, s.lastRun, s.lastSuccess, s.duration, s.series})
		j.mu.Unlock()
	}
	return states
}

var (
	byProbe       = []string{"probe", "target"}
	probeSuccess  = &metric.Desc{Name: "headend_agent_probe_success", Help: "1 if the probe's last run went well.", Type: metric.Gauge, Labels: byProbe}
	probeDuration = &metric.Desc{Name: "headend_agent_probe_duration_seconds", Help: "How long the probe's last run took.", Type: metric.Gauge, Unit: metric.Seconds, Labels: byProbe}
	probeSeries   = &metric.Desc{Name: "headend_agent_probe_series", Help: "Series of the probe's last run.", Type: metric.Gauge, Labels: byProbe}
	probeRuns     = &metric.Desc{Name: "headend_agent_probe_runs_total", Help: "Runs of the probe.", Type: metric.Counter, Labels: byProbe}
	probeFailed   = &metric.Desc{Name: "headend_agent_probe_runs_failed_total", Help: "Runs that failed, late ones included.", Type: metric.Counter, Labels: byProbe}
	probeLate     = &metric.Desc{Name: "headend_agent_probe_runs_late_total", Help: "Runs given up because the source did not answer in time.", Type: metric.Counter, Labels: byProbe}
	probeSkipped  = &metric.Desc{Name: "headend_agent_probe_ticks_skipped_total", Help: "Ticks without a run: the one before was stuck, or the clock had gone back.", Type: metric.Counter, Labels: byProbe}
	probePanics   = &metric.Desc{Name: "headend_agent_probe_panics_total", Help: "Runs that ended in a mistake of the program.", Type: metric.Counter, Labels: byProbe}
	probeOver     = &metric.Desc{Name: "headend_agent_probe_samples_over_limit_total", Help: "Samples dropped because the probe had too many series.", Type: metric.Counter, Labels: byProbe}
	probeRepeats  = &metric.Desc{Name: "headend_agent_probe_samples_repeated_total", Help: "Samples dropped because their series came twice in a run.", Type: metric.Counter, Labels: byProbe}
	clockSteps    = &metric.Desc{Name: "headend_agent_clock_steps_total", Help: "Steps of the wall clock by more than a minute.", Type: metric.Counter}
	seriesKnown   = &metric.Desc{Name: "headend_agent_series", Help: "Series in memory, those that ended lately included.", Type: metric.Gauge}
)

// Descs lists what Collect emits.
func Descs() []*metric.Desc {
	return []*metric.Desc{
		probeSuccess, probeDuration, probeSeries, probeRuns, probeFailed, probeLate, probeSkipped, probePanics, probeOver, probeRepeats,
		clockSteps, seriesKnown,
	}
}

// Collect adds the runner's own numbers.
func (r *Runner) Collect(_ context.Context, out *metric.Set) error {
	r.mu.Lock()
	jobs := r.jobs
	r.mu.Unlock()
	for _, j := range jobs {
		j.mu.Lock()
		s := j.state
		j.mu.Unlock()
		if s.runs > 0 {
			success := 0.0
			if s.lastErr == "" {
				success = 1
			}
			out.Add(probeSuccess, success, j.Kind, j.Target)
			out.Add(probeDuration, s.duration.Seconds(), j.Kind, j.Target)
			out.Add(probeSeries, float64(s.series), j.Kind, j.Target)
		}
		out.Add(probeRuns, float64(s.runs), j.Kind, j.Target)
		out.Add(probeFailed, float64(s.failed), j.Kind, j.Target)
		out.Add(probeLate, float64(s.late), j.Kind, j.Target)
		out.Add(probeSkipped, float64(s.skipped), j.Kind, j.Target)
		out.Add(probePanics, float64(s.panics), j.Kind, j.Target)
		out.Add(probeOver, float64(s.overLimit), j.Kind, j.Target)
		out.Add(probeRepeats, float64(s.repeats), j.Kind, j.Target)
	}
	out.Add(clockSteps, float64(r.clock.Steps()))
	out.Add(seriesKnown, float64(r.table.Len()))
	return nil
}
