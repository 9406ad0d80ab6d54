package sim

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"headend-agent/buffer"
	"headend-agent/internal/agent"
	"headend-agent/internal/metric"
	"headend-agent/probe"
	"headend-agent/push"
)

// process is one run of the agent: the real scheduler, buffer and senders on the simulated machine.
type process struct {
	world        *world
	files        *view
	dead         atomic.Bool                   // killed: nothing that it does has an effect
	buffer       atomic.Pointer[buffer.Buffer] // nil until all parts are built
	runner       *probe.Runner
	destinations *agent.Destinations
	observers    sync.Map // *observer by destination
	ctx          context.Context
	cancel       context.CancelFunc
	control      chan struct{} // held by what applies a configuration or stops
	conns        sync.Map      // its connections
	stopping     atomic.Bool
	over         chan struct{} // closed when nothing of it runs any more
	logged       atomic.Int64  // lines
	started      time.Time
}

func newProcess(w *world) *process {
	p := &process{world: w, control: make(chan struct{}, 1), over: make(chan struct{}), started: time.Now()}
	p.files = &view{disk: w.disk, dead: &p.dead}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.control <- struct{}{}
	return p
}

// run builds the parts and brings the configuration into force.
func (p *process) run() {
	defer func() { <-p.control }()
	w := p.world
	log := slog.New(&logHandler{process: p})
	table := metric.NewTable()
	runtime := runtimeDir
	if w.plan.Setup.NoTmpfs {
		runtime = ""
	}
	b, err := buffer.Open(w.bufferConfig(), buffer.Parts{Table: table, Log: log, Runtime: runtime, FS: p.files, Wall: w.clock.wall})
	if err != nil {
		w.fail("the buffer does not open: %v", err)
		return
	}
	p.runner = probe.NewRunner(table, w.agentClock(b), p.append, "simulated", log)
	parts := push.Parts{Version: "sim", Log: log, Wall: w.clock.wall, Dial: p.dial, Random: w.random}
	p.destinations = agent.NewDestinations(b, parts, p.observe)
	p.buffer.Store(b)
	p.apply()
}

// observe watches what a sender reads.
func (p *process) observe(name string, s push.Source) push.Source {
	o := &observer{Source: s, process: p, destination: name}
	if old, ok := p.observers.Load(name); ok { // the stop has cut what was in flight: it comes again
		o.batches = old.(*observer).batches
		p.world.ledger.mark(name, o.inHand(), mayRepeat)
	}
	p.observers.Store(name, o)
	return o
}

// apply brings the world's configuration into force.
func (p *process) apply() {
	configs, external := p.world.pushConfigs()
	p.destinations.Apply(configs, external)
	p.world.applied.Add(1) // what the senders before have heard ends here
	var instances []probe.Instance
	for _, s := range p.world.sources {
		instances = append(instances, s.instance())
	}
	p.runner.Apply(p.ctx, instances)
}

// reload is what SIGHUP does.
func (p *process) reload() {
	select {
	case p.control <- struct{}{}:
	case <-p.over:
		return
	}
	defer func() { <-p.control }()
	if !p.dead.Load() && p.ctx.Err() == nil {
		p.apply()
	}
}

// quiet ends the probing: nothing new comes but stale markers.
func (p *process) quiet() {
	p.control <- struct{}{}
	defer func() { <-p.control }()
	p.runner.Apply(p.ctx, nil)
}

// append is where the scheduler's rounds go.
func (p *process) append(r metric.Round) {
	if p.dead.Load() {
		return
	}
	touched := p.world.ledger.begin(r, p.world.clock.elapsed(), p.world.stamp(string(r.Source)))
	p.buffer.Load().Append(r)
	if !p.dead.Load() {
		p.world.ledger.keep(touched)
	}
}

// stop ends the process in order, and waits for it. What was killed is only cleared away.
func (p *process) stop() {
	if p.stopping.Swap(true) {
		<-p.over
		return
	}
	defer close(p.over)
	p.cancel()
	p.control <- struct{}{}
	b := p.buffer.Load()
	if b == nil { // killed before it was built
		return
	}
	p.runner.Stop()
	p.destinations.Stop()
	b.Close()
	p.runner.Close()
	if p.dead.Load() {
		return
	}
	p.world.account(p, p.world.destinations...)
	if n := p.files.open.Load(); n != 0 {
		p.world.fail("bounds: %d files are open after the stop", n)
	}
}

// kill ends the process in the middle of whatever it does.
func (p *process) kill() {
	if !p.dead.Swap(true) {
		p.bury()
	}
}

// bury clears away a process that is dead.
func (p *process) bury() {
	p.world.account(p, p.world.destinations...)
	p.files.release()
	p.conns.Range(func(c, _ any) bool { c.(*conn).reset(); return true })
	go p.stop()
}

func (p *process) dial(ctx context.Context, _, address string) (net.Conn, error) {
	if p.dead.Load() {
		return nil, errDead
	}
	c, err := p.world.net.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	if p.dead.Load() {
		c.Close()
		return nil, errDead
	}
	p.conns.Store(c, true)
	return c, nil
}

// status says how a destination's sender is.
func (p *process) status(destination string) string {
	for _, s := range p.destinations.Senders() {
		if s.Destination == destination {
			return fmt.Sprintf("%+v", s.Status())
		}
	}
	return "it has no sender"
}

// inHand returns what a destination's sender holds.
func (p *process) inHand(destination string) []sample {
	if o, ok := p.observers.Load(destination); ok {
		return o.(*observer).inHand()
	}
	return nil
}

// logHandler counts the lines that the agent logs, and keeps the newest for a report.
type logHandler struct {
	process *process
	with    []slog.Attr
}

const keptLines = 400

func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *logHandler) WithGroup(string) slog.Handler            { return h }
func (h *logHandler) WithAttrs(as []slog.Attr) slog.Handler {
	return &logHandler{h.process, slices.Concat(h.with, as)}
}

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	if h.process.dead.Load() {
		return nil
	}
	h.process.logged.Add(1)
	line := r.Message
	add := func(a slog.Attr) bool {
		line += fmt.Sprintf(" %s=%q", a.Key, a.Value.String())
		return true
	}
	for _, a := range h.with {
		add(a)
	}
	r.Attrs(add)
	h.process.world.say("agent: %s", line)
	return nil
}
