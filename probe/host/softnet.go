package host

import (
	"context"
	"fmt"
	"strconv"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// softnetRows says from which width of a line on the kernel tells a value.
var softnetRows = []struct {
	width int
	row[procfs.SoftnetStat]
}{
	{3, softnetRow("processed_total", "Packets processed.", metric.Counter, func(s *procfs.SoftnetStat) uint32 { return s.Processed })},
	{3, softnetRow("dropped_total", "Packets dropped because the queue was full.", metric.Counter, func(s *procfs.SoftnetStat) uint32 { return s.Dropped })},
	{3, softnetRow("times_squeezed_total", "Runs that ended with packets left, out of budget or time.", metric.Counter, func(s *procfs.SoftnetStat) uint32 { return s.TimeSqueezed })},
	{9, softnetRow("cpu_collision_total", "Collisions on a device's transmit lock.", metric.Counter, func(s *procfs.SoftnetStat) uint32 { return s.CPUCollision })},
	{10, softnetRow("received_rps_total", "Times another CPU handed packets over.", metric.Counter, func(s *procfs.SoftnetStat) uint32 { return s.ReceivedRps })},
	{11, softnetRow("flow_limit_count_total", "Times the flow limit was reached.", metric.Counter, func(s *procfs.SoftnetStat) uint32 { return s.FlowLimitCount })},
	{13, softnetRow("backlog_len", "Packets waiting in the queue.", metric.Gauge, func(s *procfs.SoftnetStat) uint32 { return s.SoftnetBacklogLen })},
}

func softnetRow(name, help string, typ metric.Type, value func(*procfs.SoftnetStat) uint32) row[procfs.SoftnetStat] {
	return row[procfs.SoftnetStat]{
		&metric.Desc{Name: "node_softnet_" + name, Help: help, Type: typ, Labels: byCPU},
		func(s *procfs.SoftnetStat) float64 { return float64(value(s)) },
	}
}

func softnetDescs() []*metric.Desc {
	var all []*metric.Desc
	for _, r := range softnetRows {
		all = append(all, r.desc)
	}
	return all
}

// softnet reads /proc/net/softnet_stat.
type softnet struct {
	fs   procfs.FS
	boot bootTime
}

func newSoftnet(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return &softnet{fs, bootTime{fs: fs}}, nil
}

func (p *softnet) Collect(_ context.Context, out *metric.Set) error {
	cpus, err := p.fs.NetSoftnetStat()
	if err != nil {
		return fmt.Errorf("read softnet_stat: %w", err)
	}
	for i := range cpus {
		cpu := strconv.FormatUint(uint64(cpus[i].Index), 10)
		for _, r := range softnetRows {
			if cpus[i].Width >= r.width {
				out.Add(r.desc, r.value(&cpus[i]), cpu)
			}
		}
	}
	p.boot.mark(out)
	return nil
}
