package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	statRows = []row[procfs.Stat]{
		{&metric.Desc{Name: "node_intr_total", Help: "Interrupts serviced.", Type: metric.Counter}, func(s *procfs.Stat) float64 { return float64(s.IRQTotal) }},
		{&metric.Desc{Name: "node_context_switches_total", Help: "Context switches.", Type: metric.Counter}, func(s *procfs.Stat) float64 { return float64(s.ContextSwitches) }},
		{&metric.Desc{Name: "node_forks_total", Help: "Processes and threads created.", Type: metric.Counter}, func(s *procfs.Stat) float64 { return float64(s.ProcessCreated) }},
		{&metric.Desc{Name: "node_boot_time_seconds", Help: "Unix time of the boot.", Type: metric.Gauge, Unit: metric.Seconds}, func(s *procfs.Stat) float64 { return float64(s.BootTime) }},
		{&metric.Desc{Name: "node_procs_running", Help: "Tasks that run or could run.", Type: metric.Gauge}, func(s *procfs.Stat) float64 { return float64(s.ProcessesRunning) }},
		{&metric.Desc{Name: "node_procs_blocked", Help: "Tasks waiting for I/O.", Type: metric.Gauge}, func(s *procfs.Stat) float64 { return float64(s.ProcessesBlocked) }},
	}
	statDescs = descs(statRows)
)

// stat reads all of /proc/stat but the CPU times.
type stat struct{ fs procfs.FS }

func newStat(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return stat{fs}, nil
}

func (p stat) Collect(_ context.Context, out *metric.Set) error {
	s, err := p.fs.Stat()
	if err != nil {
		return fmt.Errorf("read stat: %w", err)
	}
	if s.BootTime == 0 { // every kernel tells it: without it the rest would be zeros
		return errors.New("read stat: no boot time in it")
	}
	for _, r := range statRows {
		out.Add(r.desc, r.value(&s))
	}
	out.Since(time.Unix(int64(s.BootTime), 0))
	return nil
}
