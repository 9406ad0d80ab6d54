package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	cpuSeconds  = &metric.Desc{Name: "node_cpu_seconds_total", Help: "Time that the CPU spent in each mode.", Type: metric.Counter, Unit: metric.Seconds, Labels: []string{"cpu", "mode"}}
	cpuGuest    = &metric.Desc{Name: "node_cpu_guest_seconds_total", Help: "Time of modes user and nice that was spent in virtual machines.", Type: metric.Counter, Unit: metric.Seconds, Labels: []string{"cpu", "mode"}}
	cpuIsolated = &metric.Desc{Name: "node_cpu_isolated", Help: "CPUs kept out of the scheduler's hands, value 1.", Type: metric.Gauge, Labels: byCPU}
	cpuOnline   = &metric.Desc{Name: "node_cpu_online", Help: "Whether the CPU is online.", Type: metric.Gauge, Labels: byCPU}
	cpuCore     = &metric.Desc{Name: "node_cpu_core_throttles_total", Help: "Times the core was throttled for its heat.", Type: metric.Counter, Labels: []string{"package", "core"}}
	cpuPackage  = &metric.Desc{Name: "node_cpu_package_throttles_total", Help: "Times the package was throttled for its heat.", Type: metric.Counter, Labels: []string{"package"}}
	cpuUsage    = &metric.Desc{Name: "flussonic_cpu_usage", Help: "Time that all CPUs were neither idle nor waiting for I/O since the last round, in percent.", Type: metric.Gauge, Unit: metric.Percent}
	cpuDescs    = []*metric.Desc{cpuSeconds, cpuGuest, cpuIsolated, cpuOnline, cpuCore, cpuPackage, cpuUsage}

	cpuModes = []struct {
		desc  *metric.Desc
		mode  string
		value func(*procfs.CPUStat) *float64
	}{
		{cpuSeconds, "idle", func(s *procfs.CPUStat) *float64 { return &s.Idle }},
		{cpuSeconds, "iowait", func(s *procfs.CPUStat) *float64 { return &s.Iowait }},
		{cpuSeconds, "irq", func(s *procfs.CPUStat) *float64 { return &s.IRQ }},
		{cpuSeconds, "nice", func(s *procfs.CPUStat) *float64 { return &s.Nice }},
		{cpuSeconds, "softirq", func(s *procfs.CPUStat) *float64 { return &s.SoftIRQ }},
		{cpuSeconds, "steal", func(s *procfs.CPUStat) *float64 { return &s.Steal }},
		{cpuSeconds, "system", func(s *procfs.CPUStat) *float64 { return &s.System }},
		{cpuSeconds, "user", func(s *procfs.CPUStat) *float64 { return &s.User }},
		{cpuGuest, "nice", func(s *procfs.CPUStat) *float64 { return &s.GuestNice }},
		{cpuGuest, "user", func(s *procfs.CPUStat) *float64 { return &s.Guest }},
	}
)

// cpuReset is how far idle goes back when a CPU came back from offline and counts anew. Smaller steps back are the
// kernel's rounding, and hidden.
const cpuReset = 3.0 // seconds

// cpu reads the CPU times of /proc/stat, and /sys/devices/system/cpu.
type cpu struct {
	proc procfs.FS
	sys  sysfs.FS

	shown map[int64]procfs.CPUStat // the highest that was shown of each counter
	ids   []int64
	total procfs.CPUStat // of the last run
	ran   bool
	cores map[sysfs.CPU]core
}

// core says where a logical CPU sits.
type core struct{ pkg, id string }

func newCPU(_ func(any) error, env probe.Env) (probe.Probe, error) {
	proc, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	sys, err := sysfs.NewFS(env.Sys)
	if err != nil {
		return nil, fmt.Errorf("open sysfs: %w", err)
	}
	return &cpu{proc: proc, sys: sys, shown: map[int64]procfs.CPUStat{}, cores: map[sysfs.CPU]core{}}, nil
}

func (p *cpu) Collect(_ context.Context, out *metric.Set) error {
	s, err := p.proc.Stat()
	if err != nil {
		return fmt.Errorf("read CPU times: %w", err)
	}
	if len(s.CPU) == 0 {
		return errors.New("read CPU times: no CPU in stat")
	}
	p.addTimes(out, s.CPU)
	if usage, ok := cpuShare(p.total, s.CPUTotal); ok && p.ran {
		out.Add(cpuUsage, usage)
	}
	p.total, p.ran = s.CPUTotal, true
	if s.BootTime > 0 {
		out.Since(time.Unix(int64(s.BootTime), 0))
	}

	isolated, err := p.sys.IsolatedCPUs()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read isolated CPUs: %w", err)
	}
	for _, c := range isolated {
		out.Add(cpuIsolated, 1, strconv.Itoa(int(c)))
	}
	cpus, err := p.sys.CPUs()
	if err != nil {
		return fmt.Errorf("list CPUs: %w", err)
	}
	p.addThrottles(out, cpus)
	addOnline(out, cpus)
	return nil
}

func (p *cpu) addTimes(out *metric.Set, now map[int64]procfs.CPUStat) {
	maps.DeleteFunc(p.shown, func(id int64, _ procfs.CPUStat) bool { _, on := now[id]; return !on })
	p.ids = slices.AppendSeq(p.ids[:0], maps.Keys(now))
	slices.Sort(p.ids)
	for _, id := range p.ids {
		s, before := now[id], p.shown[id]
		name, reset := strconv.FormatInt(id, 10), before.Idle-s.Idle >= cpuReset
		for _, m := range cpuModes {
			v := m.value(&s)
			if !reset {
				*v = max(*v, *m.value(&before))
			}
			out.Add(m.desc, *v, name, m.mode)
		}
		p.shown[id] = s
	}
}

// cpuShare returns the busy share of the time between two readings in percent.
func cpuShare(from, to procfs.CPUStat) (float64, bool) {
	idle, busy := cpuTicks(to)
	idleBefore, busyBefore := cpuTicks(from)
	idle, busy = idle-idleBefore, busy-busyBefore
	if idle < 0 || busy < 0 || idle+busy == 0 {
		return 0, false
	}
	return 100 * busy / (idle + busy), true
}

// cpuTicks undoes procfs' division by USER_HZ, whose rounding makes time seem to run backwards. The guests' time is in
// user and nice already.
func cpuTicks(s procfs.CPUStat) (idle, busy float64) {
	return math.Round(100 * (s.Idle + s.Iowait)), math.Round(100 * (s.User + s.Nice + s.System + s.IRQ + s.SoftIRQ + s.Steal))
}

// addThrottles adds what each core tells once, though all of its threads tell it.
func (p *cpu) addThrottles(out *metric.Set, cpus []sysfs.CPU) {
	var packages []string
	var cores []core
	for _, c := range cpus {
		at, known := p.cores[c]
		if !known {
			t, err := c.Topology()
			if err != nil { // offline
				continue
			}
			at = core{t.PhysicalPackageID, t.CoreID}
			p.cores[c] = at
		}
		if slices.Contains(cores, at) {
			continue
		}
		t, err := c.ThermalThrottle()
		if err != nil { // a CPU or a hypervisor without it
			continue
		}
		cores = append(cores, at)
		out.Add(cpuCore, float64(t.CoreThrottleCount), at.pkg, at.id)
		if !slices.Contains(packages, at.pkg) {
			packages = append(packages, at.pkg)
			out.Add(cpuPackage, float64(t.PackageThrottleCount), at.pkg)
		}
	}
}

// addOnline adds nothing where the first CPU cannot be taken offline, as node_exporter does.
func addOnline(out *metric.Set, cpus []sysfs.CPU) {
	for i, c := range cpus {
		online, err := c.Online()
		if i == 0 && errors.Is(err, os.ErrNotExist) {
			return
		}
		value := 0.0
		if online {
			value = 1
		}
		out.Add(cpuOnline, value, c.Number())
	}
}
