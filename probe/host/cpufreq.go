package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	cpufreqRows = []optional[sysfs.SystemCPUCpufreqStats, uint64]{
		cpufreqRow("frequency_hertz", "Frequency of the CPU as the hardware tells it.", func(s *sysfs.SystemCPUCpufreqStats) *uint64 { return s.CpuinfoCurrentFrequency }),
		cpufreqRow("frequency_avg_hertz", "Mean frequency of the CPU.", func(s *sysfs.SystemCPUCpufreqStats) *uint64 { return s.CpuinfoAverageFrequency }),
		cpufreqRow("frequency_min_hertz", "Lowest frequency that the CPU can have.", func(s *sysfs.SystemCPUCpufreqStats) *uint64 { return s.CpuinfoMinimumFrequency }),
		cpufreqRow("frequency_max_hertz", "Highest frequency that the CPU can have.", func(s *sysfs.SystemCPUCpufreqStats) *uint64 { return s.CpuinfoMaximumFrequency }),
		cpufreqRow("scaling_frequency_hertz", "Frequency of the CPU as the kernel sets it.", func(s *sysfs.SystemCPUCpufreqStats) *uint64 { return s.ScalingCurrentFrequency }),
		cpufreqRow("scaling_frequency_min_hertz", "Lowest frequency that the kernel may set.", func(s *sysfs.SystemCPUCpufreqStats) *uint64 { return s.ScalingMinimumFrequency }),
		cpufreqRow("scaling_frequency_max_hertz", "Highest frequency that the kernel may set.", func(s *sysfs.SystemCPUCpufreqStats) *uint64 { return s.ScalingMaximumFrequency }),
	}
	cpufreqGovernor = &metric.Desc{Name: "node_cpu_scaling_governor", Help: "Whether the governor is the one in use.", Type: metric.Gauge, Labels: []string{"cpu", "governor"}}
	cpufreqDescs    = optionalDescs(cpufreqRows, cpufreqGovernor)
)

func cpufreqRow(name, help string, value func(*sysfs.SystemCPUCpufreqStats) *uint64) optional[sysfs.SystemCPUCpufreqStats, uint64] {
	return optional[sysfs.SystemCPUCpufreqStats, uint64]{&metric.Desc{Name: "node_cpu_" + name, Help: help, Type: metric.Gauge, Unit: metric.Hertz, Labels: byCPU}, value}
}

// cpufreq reads /sys/devices/system/cpu/cpu*/cpufreq, which virtual machines mostly lack. It is a probe of its own, for
// some drivers answer slowly.
type cpufreq struct{ fs sysfs.FS }

func newCPUFreq(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := sysfs.NewFS(env.Sys)
	if err != nil {
		return nil, fmt.Errorf("open sysfs: %w", err)
	}
	return cpufreq{fs}, nil
}

func (p cpufreq) Collect(_ context.Context, out *metric.Set) error {
	cpus, err := p.fs.SystemCpufreq()
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read CPU frequencies: %w", err)
	}
	for i := range cpus {
		s := &cpus[i]
		for _, r := range cpufreqRows {
			if kHz := r.value(s); kHz != nil {
				out.Add(r.desc, float64(*kHz)*1000, s.Name)
			}
		}
		if s.Governor == "" {
			continue
		}
		for g := range strings.FieldsSeq(s.AvailableGovernors) {
			used := 0.0
			if g == s.Governor {
				used = 1
			}
			out.Add(cpufreqGovernor, used, s.Name, g)
		}
	}
	return nil
}
