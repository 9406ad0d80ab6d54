// Package dvb reads the signal of DVB frontends beside the programs that have tuned them, and disturbs none of those.
package dvb

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// Config is the section `dvb` of the configuration.
type Config struct {
	// Names of cards by adapterN.frontendM, for the label name. They go before those that a Flussonic on this machine gives its cards.
	Names map[string]string `yaml:"names"`
}

// Kinds lists every probe of this package.
func Kinds() []probe.Kind {
	// It runs where no adapter is, too: one may be plugged in at any time, and one that is missing is a finding.
	return []probe.Kind{{Name: "dvb", Auto: func(probe.Env) bool { return true }, New: newDVB, Descs: descs()}}
}

// dvb reads /sys/class/dvb, the names of kernel threads in /proc, and the frontends that are in use.
type dvb struct {
	env     probe.Env
	names   map[string]string
	open    func(path string) (device, error)
	threads threads
	hidden  bool // kernel threads are, and that has been logged
	tuners  map[probe.Tuner]*tuner

	mu     sync.Mutex
	absent []string
	before *dvb // whose tuners it takes over when it begins
}

func newDVB(decode func(any) error, env probe.Env) (probe.Probe, error) {
	var c Config
	if err := decode(&c); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(c.Names)) {
		a, f, ok := strings.Cut(strings.TrimPrefix(key, "adapter"), ".frontend")
		if p, ok2 := probe.ParseTuner(a, f); !ok || !ok2 || p.String() != key {
			return nil, fmt.Errorf("names: %q is not of the form adapter0.frontend0", key)
		}
	}
	return &dvb{env: env, names: c.Names, open: openDevice, threads: threads{proc: env.Proc}, tuners: map[probe.Tuner]*tuner{}}, nil
}

// Inherit takes over the tuners of the probe before: their ports, counts and names, and calls that hang.
func (p *dvb) Inherit(before probe.Probe) {
	old, ok := before.(*dvb)
	if !ok {
		return
	}
	if older := old.takeBefore(); older != nil { // old has never run
		old = older
	}
	p.before = old
}

func (p *dvb) takeBefore() *dvb {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.before
	p.before = nil
	return before
}

// longest is how long a frontend may take where the run has no limit.
const longest = 8 * time.Second

func (p *dvb) Collect(ctx context.Context, out *metric.Set) error {
	if old := p.takeBefore(); old != nil { // by now no run of it is under way
		p.threads, p.hidden, p.tuners = old.threads, old.hidden, old.tuners
	}
	limit := longest
	if end, ok := ctx.Deadline(); ok {
		limit = time.Until(end) * 9 / 10
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found, err := scan(p.class())
	if err != nil {
		return err
	}
	adapters, list := p.follow(found)
	out.Add(adaptersDesc, float64(adapters))
	if len(list) == 0 {
		p.tell("no frontend: " + p.class() + " has none, so no driver has found a DVB device")
		return nil
	}
	tuning, visible, err := p.threads.find()
	if err != nil {
		return err
	}
	p.noteHidden(!visible)
	for _, t := range list {
		t.begin(ctx, p, tuning, visible, limit)
	}
	absent := make([]string, 0, len(list))
	for _, t := range list {
		t.end(ctx)
		t.add(out, p.card(t.Tuner))
		if t.why != "" {
			absent = append(absent, t.String()+": "+t.why)
		}
	}
	p.tell(absent...)
	return nil
}

// card is the name of a frontend, by whoever has one for it.
func (p *dvb) card(at probe.Tuner) string {
	return cmp.Or(p.names[at.String()], p.env.Tuners.Name(at), at.String())
}

// noteHidden logs when kernel threads begin or cease to be hidden.
func (p *dvb) noteHidden(hidden bool) {
	switch {
	case hidden && !p.hidden:
		p.env.Log.Warn("kernel threads are hidden, so no frontend is read: nobody can tell which are in use")
	case p.hidden && !hidden:
		p.env.Log.Info("kernel threads can be seen again")
	}
	p.hidden = hidden
}

func (p *dvb) class() string { return filepath.Join(p.env.Sys, "class/dvb") }

// follow keeps a tuner for each frontend that is there, in order, and counts the adapters.
func (p *dvb) follow(found []place) (adapters int, list []*tuner) {
	type socket struct {
		path string
		port int
	}
	taken := map[socket]bool{}
	ports := map[int]int{} // by adapter
	for _, f := range found {
		if t := p.tuners[f.Tuner]; t != nil && t.device == f.device {
			ports[f.Adapter] = t.port
			taken[socket{t.path, t.port}] = true
		}
	}
	here := make(map[probe.Tuner]*tuner, len(found))
	for _, f := range found {
		t := p.tuners[f.Tuner]
		if t == nil || t.device != f.device {
			t = p.newTuner(f, t)
			port, ok := ports[f.Adapter]
			for !ok && taken[socket{t.path, port}] { // the others keep theirs when one of them comes or goes
				port++
			}
			ports[f.Adapter] = port
			taken[socket{t.path, port}] = true
			t.plug(port)
		}
		here[f.Tuner] = t
		list = append(list, t)
	}
	for position, t := range p.tuners {
		if here[position] == nil && t.running() {
			here[position] = t // unplugged, but a call still hangs: whatever comes in its place has to wait
		}
	}
	p.tuners = here
	return len(ports), list
}

// tell keeps what Absent says.
func (p *dvb) tell(absent ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.absent = absent
}

// Absent says, after Collect, why frontends have no signal series; one line each, with what helps, if anything does, behind a semicolon.
func (p *dvb) Absent() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.absent)
}
