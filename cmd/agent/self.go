package main

import (
	"context"
	"fmt"
	"runtime"

	"github.com/prometheus/procfs"

	"headend-agent/buffer"
	"headend-agent/internal/metric"
	"headend-agent/probe"
	"headend-agent/push"
)

// selfKind is the name of the probe that reads the agent itself.
const selfKind = "agent"

var (
	buildInfo     = &metric.Desc{Name: "headend_agent_build_info", Help: "1, with the version of the agent.", Type: metric.Gauge, Labels: []string{"version", "revision", "goversion"}}
	reloadOK      = &metric.Desc{Name: "headend_agent_config_last_reload_successful", Help: "1 if the configuration in use is what the file says.", Type: metric.Gauge}
	cpuSeconds    = &metric.Desc{Name: "headend_agent_cpu_seconds_total", Help: "CPU time of the agent's process.", Type: metric.Counter, Unit: metric.Seconds}
	residentBytes = &metric.Desc{Name: "headend_agent_resident_memory_bytes", Help: "Resident memory of the agent's process.", Type: metric.Gauge, Unit: metric.Bytes}
	startTime     = &metric.Desc{Name: "headend_agent_start_time_seconds", Help: "Start of the agent's process, Unix time.", Type: metric.Gauge, Unit: metric.Seconds}
	openFiles     = &metric.Desc{Name: "headend_agent_open_fds", Help: "Open file descriptors of the agent's process.", Type: metric.Gauge}
	bufferLimit   = &metric.Desc{Name: "headend_agent_buffer_limit_bytes", Help: "Size that the ring on disk may have, as configured.", Type: metric.Gauge, Unit: metric.Bytes}
	goroutines    = &metric.Desc{Name: "headend_agent_goroutines", Help: "Goroutines of the agent's process.", Type: metric.Gauge}
)

// selfDescs lists what the agent says of itself.
func selfDescs() []*metric.Desc {
	d := []*metric.Desc{buildInfo, reloadOK, cpuSeconds, residentBytes, startTime, openFiles, bufferLimit, goroutines}
	d = append(d, probe.Descs()...)
	d = append(d, buffer.Descs()...)
	return append(d, push.Descs()...)
}

// self is the probe that reads the agent: its process, and what its parts count.
type self struct {
	agent *agent
	proc  procfs.Proc
}

func newSelf(a *agent) (self, error) {
	p, err := procfs.Self()
	if err != nil {
		return self{}, fmt.Errorf("find the agent's own process: %w", err)
	}
	return self{a, p}, nil
}

func (s self) Collect(ctx context.Context, out *metric.Set) error {
	out.Add(buildInfo, 1, version, revision, runtime.Version())
	ok := 0.0
	if s.agent.reloadOK.Load() {
		ok = 1
	}
	out.Add(reloadOK, ok)
	if st, err := s.proc.Stat(); err == nil {
		out.Add(cpuSeconds, st.CPUTime())
		out.Add(residentBytes, float64(st.ResidentMemory()))
		if t, err := st.StartTime(); err == nil {
			out.Add(startTime, t)
		}
	}
	if n, err := s.proc.FileDescriptorsLen(); err == nil {
		out.Add(openFiles, float64(n))
	}
	out.Add(bufferLimit, float64(s.agent.bufferSize()))
	out.Add(goroutines, float64(runtime.NumGoroutine()))
	for _, part := range s.agent.parts() {
		if err := part.Collect(ctx, out); err != nil {
			return err
		}
	}
	return nil
}
