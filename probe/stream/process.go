package stream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// ProcessConfig names a media server's process on this host. Several with the name, as nginx' workers, count together.
type ProcessConfig struct {
	Name    string `yaml:"name"`     // label server; the name of the process unless set
	Process string `yaml:"process"`  // its name in the kernel, or the file name of its program
	PIDFile string `yaml:"pid_file"` // instead of process
}

func processDesc(name string, typ metric.Type, unit metric.Unit, help string) *metric.Desc {
	return serverDesc("process_"+name, typ, unit, help)
}

var (
	processCount   = serverDesc("processes", metric.Gauge, metric.None, "Processes of the media server.")
	processCPU     = processDesc("cpu_seconds_total", metric.Counter, metric.Seconds, "CPU time of the media server's processes and their ended children.")
	processRSS     = processDesc("resident_memory_bytes", metric.Gauge, metric.Bytes, "Resident memory of the media server's processes.")
	processThreads = processDesc("threads", metric.Gauge, metric.None, "Threads of the media server's processes.")
	processFDs     = processDesc("open_fds", metric.Gauge, metric.None, "Open files of the media server's processes; absent without the right to see them.")
	processMaxFDs  = processDesc("max_fds", metric.Gauge, metric.None, "Limit of open files, of the process with the lowest one.")
	processStart   = processDesc("start_time_seconds", metric.Gauge, metric.Seconds, "Unix time at which the oldest process of the media server started.")

	processDescs = []*metric.Desc{processCount, processCPU, processRSS, processThreads, processFDs, processMaxFDs, processStart}
)

// processes reads /proc for the media servers of this host.
type processes struct {
	fs      procfs.FS
	proc    string
	servers []*watched
	lookAt  time.Time
}

// watched is one media server. match gets the name in the kernel and the command line.
type watched struct {
	label   string
	pidFile string
	match   func(comm string, args []string) bool
	alive   []started
}

// started is a process that was found. A number that the kernel gives out again has another start.
type started struct {
	pid   int
	ticks uint64 // after boot
	unix  float64
}

// usualServers are looked for when nothing is configured.
var usualServers = []string{"mediamtx", "srs", "tvheadend", "flussonic"}

func newProcesses(decode func(any) error, env probe.Env) (probe.Probe, error) {
	var c ProcessConfig
	if err := decode(&c); err != nil {
		return nil, err
	}
	p := &processes{proc: env.Proc}
	switch {
	case c.Process != "" && c.PIDFile != "":
		return nil, errors.New("process and pid_file exclude each other")
	case c.PIDFile != "":
		p.servers = []*watched{{label: c.Name, pidFile: c.PIDFile}}
		if c.Name == "" {
			p.servers[0].label = strings.TrimSuffix(filepath.Base(c.PIDFile), ".pid")
		}
	case c.Process != "":
		p.servers = []*watched{{label: c.Name, match: named(c.Process)}}
		if c.Name == "" {
			p.servers[0].label = c.Process
		}
	case c.Name != "":
		return nil, errors.New("process or pid_file is missing")
	default:
		for _, name := range usualServers {
			p.servers = append(p.servers, &watched{label: name, match: named(name)})
		}
		if nginxRTMPInstalled(env) {
			p.servers = append(p.servers, &watched{label: "nginx_rtmp", match: named("nginx")})
		}
	}
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	p.fs = fs
	return p, nil
}

// commLength is what the kernel keeps of a process' name.
const commLength = 15

// named matches a process by its name. Flussonic is a program of Erlang's machine, which has it in its arguments.
func named(name string) func(string, []string) bool {
	short := name[:min(len(name), commLength)]
	return func(comm string, args []string) bool {
		if comm == short || len(args) > 0 && filepath.Base(args[0]) == name {
			return true
		}
		return name == "flussonic" && (comm == "beam.smp" || comm == "streamer") &&
			slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, name) })
	}
}

// Target tells apart the sections of the configuration.
func (p *processes) Target() string {
	if len(p.servers) > 1 {
		return ""
	}
	return p.servers[0].label
}

func (p *processes) Collect(_ context.Context, out *metric.Set) error {
	gone := false
	for _, w := range p.servers {
		before := len(w.alive)
		w.alive = slices.DeleteFunc(w.alive, func(s started) bool { return !p.same(s) })
		gone = gone || len(w.alive) < before
	}
	if now := time.Now(); gone || !now.Before(p.lookAt) {
		p.lookAt = now.Add(lookAgain)
		if err := p.look(); err != nil {
			return err
		}
	}
	for _, w := range p.servers {
		p.add(w, out)
	}
	return nil
}

func (p *processes) same(s started) bool {
	proc, err := p.fs.Proc(s.pid)
	if err != nil {
		return false
	}
	stat, err := proc.Stat()
	return err == nil && stat.Starttime == s.ticks
}

// look goes through all processes once for all servers.
func (p *processes) look() error {
	entries, err := os.ReadDir(p.proc)
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, w := range p.servers {
		w.alive = w.alive[:0]
		if w.pidFile == "" {
			continue
		}
		if b, err := os.ReadFile(w.pidFile); err == nil {
			pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
			p.found(w, pid)
		}
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		p.match(pid)
	}
	return nil
}

func (p *processes) match(pid int) {
	proc, err := p.fs.Proc(pid)
	if err != nil {
		return
	}
	comm, err := proc.Comm()
	if err != nil {
		return
	}
	args, err := proc.CmdLine()
	if err != nil || len(args) == 0 { // of the kernel itself
		return
	}
	for _, w := range p.servers {
		if w.match != nil && w.match(comm, args) {
			p.found(w, pid)
		}
	}
}

func (p *processes) found(w *watched, pid int) {
	proc, err := p.fs.Proc(pid)
	if err != nil {
		return
	}
	stat, err := proc.Stat()
	if err != nil {
		return
	}
	s := started{pid: pid, ticks: stat.Starttime}
	if unix, err := stat.StartTime(); err == nil {
		s.unix = unix
	}
	w.alive = append(w.alive, s)
}

// add sums over a server's processes. What one of them keeps to itself is left out.
func (p *processes) add(w *watched, out *metric.Set) {
	var n, cpu, rss, threads float64
	var fds, maxFDs, first value
	seen := true
	for _, s := range w.alive {
		proc, err := p.fs.Proc(s.pid)
		if err != nil {
			continue
		}
		stat, err := proc.Stat()
		if err != nil {
			continue
		}
		n++
		cpu += (float64(stat.UTime) + float64(stat.STime) + float64(stat.CUTime) + float64(stat.CSTime)) / userHZ
		rss += float64(stat.ResidentMemory())
		threads += float64(stat.NumThreads)
		if count, err := proc.FileDescriptorsLen(); err == nil {
			fds = fds.plus(some(float64(count)))
		} else {
			seen = false
		}
		if l, err := proc.Limits(); err == nil && (!maxFDs.ok || float64(l.OpenFiles) < maxFDs.v) {
			maxFDs = some(float64(l.OpenFiles))
		}
		if s.unix > 0 && (!first.ok || s.unix < first.v) {
			first = some(s.unix)
		}
	}
	if n == 0 {
		return
	}
	out.Add(processCount, n, w.label)
	out.Add(processCPU, cpu, w.label)
	out.Add(processRSS, rss, w.label)
	out.Add(processThreads, threads, w.label)
	fds.ok = fds.ok && seen
	addSome(out, processFDs, fds, w.label)
	addSome(out, processMaxFDs, maxFDs, w.label)
	addSome(out, processStart, first, w.label)
}

// userHZ is the unit of CPU times in /proc on every architecture of Linux that Go has.
const userHZ = 100
