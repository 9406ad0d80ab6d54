package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// pressures are the kinds of stall information and their families; irq has no "some", and of cpu "full" says nothing.
var pressures = []struct {
	resource   string
	some, full *metric.Desc
}{
	{"cpu", pressureDesc("cpu_waiting", "Time in which some task waited for a CPU."), nil},
	{"io", pressureDesc("io_waiting", "Time in which some task waited for I/O."), pressureDesc("io_stalled", "Time in which all tasks waited for I/O.")},
	{"memory", pressureDesc("memory_waiting", "Time in which some task waited for memory."), pressureDesc("memory_stalled", "Time in which all tasks waited for memory.")},
	{"irq", nil, pressureDesc("irq_stalled", "Time in which interrupts kept all tasks waiting.")},
}

func pressureDesc(name, help string) *metric.Desc {
	return &metric.Desc{Name: "node_pressure_" + name + "_seconds_total", Help: help, Type: metric.Counter, Unit: metric.Seconds}
}

func pressureDescs() []*metric.Desc {
	var all []*metric.Desc
	for _, p := range pressures {
		for _, d := range []*metric.Desc{p.some, p.full} {
			if d != nil {
				all = append(all, d)
			}
		}
	}
	return all
}

// pressure reads /proc/pressure. Kernels before 4.20 or without PSI have none, those before 6.1 none for irq.
type pressure struct {
	fs   procfs.FS
	boot bootTime
}

func newPressure(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return &pressure{fs, bootTime{fs: fs}}, nil
}

func (p *pressure) Collect(_ context.Context, out *metric.Set) error {
	for _, r := range pressures {
		s, err := p.fs.PSIStatsForResource(r.resource)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTSUP) { // ENOTSUP: switched off at boot
			continue
		}
		if err != nil {
			return fmt.Errorf("read pressure of %s: %w", r.resource, err)
		}
		addPressure(out, r.some, s.Some)
		addPressure(out, r.full, s.Full)
	}
	p.boot.mark(out)
	return nil
}

func addPressure(out *metric.Set, d *metric.Desc, l *procfs.PSILine) {
	if d != nil && l != nil {
		out.Add(d, float64(l.Total)/1e6)
	}
}
