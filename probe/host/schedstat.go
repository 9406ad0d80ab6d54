package host

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	schedstatRows = []row[procfs.SchedstatCPU]{
		{&metric.Desc{Name: "node_schedstat_running_seconds_total", Help: "Time for which the CPU ran tasks.", Type: metric.Counter, Unit: metric.Seconds, Labels: byCPU},
			func(s *procfs.SchedstatCPU) float64 { return float64(s.RunningNanoseconds) / 1e9 }},
		{&metric.Desc{Name: "node_schedstat_waiting_seconds_total", Help: "Time for which tasks waited for the CPU.", Type: metric.Counter, Unit: metric.Seconds, Labels: byCPU},
			func(s *procfs.SchedstatCPU) float64 { return float64(s.WaitingNanoseconds) / 1e9 }},
		{&metric.Desc{Name: "node_schedstat_timeslices_total", Help: "Timeslices that the CPU ran.", Type: metric.Counter, Labels: byCPU},
			func(s *procfs.SchedstatCPU) float64 { return float64(s.RunTimeslices) }},
	}
	schedstatDescs = descs(schedstatRows)
)

// schedstat reads /proc/schedstat, which not every kernel has.
type schedstat struct {
	fs   procfs.FS
	boot bootTime
}

func newSchedstat(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return &schedstat{fs, bootTime{fs: fs}}, nil
}

func (p *schedstat) Collect(_ context.Context, out *metric.Set) error {
	s, err := p.fs.Schedstat()
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read schedstat: %w", err)
	}
	for _, cpu := range s.CPUs {
		for _, r := range schedstatRows {
			out.Add(r.desc, r.value(cpu), cpu.CPUNum)
		}
	}
	p.boot.mark(out)
	return nil
}
