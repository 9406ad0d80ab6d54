package host

import (
	"context"
	"fmt"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	load1        = &metric.Desc{Name: "node_load1", Help: "1m load average.", Type: metric.Gauge}
	load5        = &metric.Desc{Name: "node_load5", Help: "5m load average.", Type: metric.Gauge}
	load15       = &metric.Desc{Name: "node_load15", Help: "15m load average.", Type: metric.Gauge}
	loadavgDescs = []*metric.Desc{load1, load5, load15}
)

// loadavg reads /proc/loadavg.
type loadavg struct{ fs procfs.FS }

func newLoadavg(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return loadavg{fs}, nil
}

func (p loadavg) Collect(_ context.Context, out *metric.Set) error {
	l, err := p.fs.LoadAvg()
	if err != nil {
		return fmt.Errorf("read load average: %w", err)
	}
	out.Add(load1, l.Load1)
	out.Add(load5, l.Load5)
	out.Add(load15, l.Load15)
	return nil
}
