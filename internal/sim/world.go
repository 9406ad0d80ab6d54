package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/relabel"

	"headend-agent/buffer"
	"headend-agent/internal/metric"
	"headend-agent/push"
)

// world is everything around the agent.
type world struct {
	plan         Plan
	clock        *machineClock
	disk         *disk
	net          *network
	ledger       *ledger
	sources      []*source
	destinations []*destination
	applied      atomic.Int64  // how often a configuration was brought into force
	restarting   chan struct{} // has an element while a process is stopped and started in order

	mu            sync.Mutex
	rng           *rand.Rand
	process       *process
	powerLost     bool             // what that has cost, the agent may count as overflow or damaged
	absent        bool             // nothing is to run: the machine is off, or somebody works on the disk
	sizeMiB       int              // of the ring, as configured now
	largestMiB    int              // and the most that it was
	generation    int              // of the external labels
	labelled      time.Duration    // when they were changed last
	relabel       bool             // relabelling rules are configured
	began         map[string]int64 // ms since boot at which a source's newest round began
	stamped       time.Duration    // when the agent has read the clock last, since the life began
	trouble       troubles
	violations    []string
	history       []string
	starts, lines int
	deeds         []*deed
	snapshot      map[string]*node
	snapshotAt    time.Duration
}

// destination is what the simulation knows of a receiver and of the agent's way to it.
type destination struct {
	name     string
	setup    DestinationSetup
	receiver *receiver
	removed  bool          // from the configuration, now
	since    time.Duration // when it was configured first
	counted  map[string]int
	causes   map[string]bool // reasons for which samples may be dropped or refused
	lies     bool            // the receiver has stored what it refused
}

// inOrder tells whether a series' samples must arrive in the order in which they were appended.
func (d *destination) inOrder() bool { return !d.setup.LiveFirst }

func newWorld(p Plan) *world {
	w := &world{
		plan: p, clock: newMachineClock(), disk: newDisk(), net: newNetwork(), rng: rand.New(rand.NewPCG(p.Seed, 1)),
		sizeMiB: p.Setup.SizeMiB, largestMiB: p.Setup.SizeMiB, began: map[string]int64{}, restarting: make(chan struct{}, 1),
	}
	w.ledger = newLedger(w.fail)
	if p.Setup.NoBattery {
		w.clock.ahead = time.Unix(1000, 0).Sub(w.clock.trueTime())
	}
	for i, s := range p.Setup.Sources {
		w.sources = append(w.sources, newSource(w, i, s))
	}
	for i, s := range p.Setup.Destinations {
		d := &destination{name: fmt.Sprintf("receiver%d", i), setup: s, counted: map[string]int{}, causes: map[string]bool{}}
		if s.MaxAge > 0 {
			d.causes["max_age"] = true
		}
		if s.Drop { // any 4xx costs the batch
			d.causes["refused"], d.causes["indeterminate"] = true, true
		}
		d.receiver = newReceiver(w, d.name, s.Protocols)
		d.receiver.behave(func(m *manner) { m.Zstd = s.Zstd })
		w.destinations = append(w.destinations, d)
	}
	return w
}

// fail notes a broken invariant.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.violations) < 20 {
		w.violations = append(w.violations, fmt.Sprintf("%8.1fs ", w.clock.elapsed().Seconds())+fmt.Sprintf(format, args...))
	}
}

// say keeps a line of the life's history.
func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines++
	w.history = append(w.history, fmt.Sprintf("%8.1fs ", w.clock.elapsed().Seconds())+fmt.Sprintf(format, args...))
	if len(w.history) > keptLines {
		w.history = w.history[1:]
	}
}

func (w *world) random() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.Float64()
}

// fork returns a source of randomness of its own.
func (w *world) fork() *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	return rand.New(rand.NewPCG(w.rng.Uint64(), 2))
}

func (w *world) trueTime() time.Time { return w.clock.trueTime() }

func (w *world) destination(name string) *destination {
	for _, d := range w.destinations {
		if d.name == name {
			return d
		}
	}
	panic("no destination " + name)
}

func (w *world) bufferConfig() buffer.Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	return buffer.Config{
		Path: ringDir, Size: units.Base2Bytes(w.sizeMiB) * units.MiB, Memory: units.Base2Bytes(w.plan.Setup.MemoryMiB) * units.MiB,
		CommitInterval: model.Duration(w.plan.Setup.Commit),
	}
}

func (w *world) pushConfigs() (configs []push.Config, external []metric.Label) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.destinations {
		if d.removed {
			continue
		}
		c := push.DefaultConfig()
		c.URL, c.Name = "http://"+d.name+":80/api/v1/write", d.name
		c.ProtobufMessage, c.FlushInterval = d.setup.Message, model.Duration(d.setup.Flush)
		c.MaxAge, c.BacklogBytesPerSecond = model.Duration(d.setup.MaxAge), units.Base2Bytes(d.setup.Rate)
		if d.setup.LiveFirst {
			c.Order = push.OrderLiveFirst
		}
		if d.setup.Drop {
			c.OnRefusal = push.RefusalDrop
		}
		if w.relabel {
			c.WriteRelabelConfigs = []*relabel.Config{{
				SourceLabels: model.LabelNames{"n"}, Regex: relabel.MustNewRegexp("(.*)"), TargetLabel: "relabelled", Replacement: "$1",
				Action: relabel.Replace, Separator: ";", NameValidationScheme: model.UTF8Validation,
			}}
		}
		configs = append(configs, c)
	}
	external = []metric.Label{{Name: "instance", Value: "simulated"}, {Name: "job", Value: "headend"}}
	if w.generation > 0 {
		external = append(external, metric.Label{Name: "site", Value: fmt.Sprint(w.generation)})
	}
	return configs, external
}

// site returns the value that the external label must have; "" where it was changed lately, or is not configured.
func (w *world) site() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, now := w.process, w.clock.elapsed()
	const settled = 5 * time.Minute
	if w.generation == 0 || p == nil || p.dead.Load() || time.Since(p.started) < settled || now-time.Since(p.started) < w.labelled {
		return ""
	}
	return fmt.Sprint(w.generation)
}

// reading notes that a round of a source begins.
func (w *world) reading(source string) {
	mono := w.clock.sinceBoot().Milliseconds()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began[source] = mono
}

// stamp returns what the times of a source's round mean.
func (w *world) stamp(source string) func(*entry) {
	_, number := w.clock.base()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stamped = w.clock.elapsed()
	began := w.began[source]
	now := w.clock.sinceBoot().Milliseconds()
	return func(e *entry) {
		e.boot, e.mono = number, began
		if metric.IsStale(math.Float64frombits(e.bits)) { // of a run that has failed, or of a source that has gone just now
			e.spread = now - began
		}
	}
}

// fits returns the check of an entry's time, for now.
func (w *world) fits() func(*entry, int64) bool {
	w.mu.Lock()
	read := w.stamped - readSlack
	w.mu.Unlock()
	return func(e *entry, ms int64) bool { return w.clock.right(e, ms, read) }
}

// readSlack is how much earlier than the newest stamp that we know of the buffer may have been asked for a batch.
const readSlack = 20 * time.Second

// count takes over what a sender says of a batch.
func (w *world) count(destination string, o metric.Outcome) {
	d := w.destination(destination)
	w.mu.Lock()
	defer w.mu.Unlock()
	d.counted["refused"] += o.Refused
	d.counted["indeterminate"] += o.Uncertain
	for reason, n := range o.Dropped {
		d.counted[reason] += n
	}
}

// account takes over what the buffer of a process has given up for the given destinations.
func (w *world) account(p *process, destinations ...*destination) {
	b := p.buffer.Load()
	if b == nil {
		return
	}
	stats := b.Stats()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range destinations {
		x, ok := stats.Destinations[d.name]
		if !ok {
			continue
		}
		for _, reason := range []string{"overflow", "damaged", "max_age", "clock"} { // the others are counted as they are acknowledged
			d.counted[reason] += int(x.Dropped[reason])
		}
	}
}

// start begins a process, unless one runs.
func (w *world) start() {
	w.outOfReach()
	w.mu.Lock()
	if w.absent || w.process != nil && !w.process.dead.Load() {
		w.mu.Unlock()
		return
	}
	w.starts++
	p := newProcess(w)
	w.process = p
	for _, d := range w.destinations {
		if !d.removed && d.since == 0 {
			d.since = w.clock.elapsed() + 1
		}
	}
	w.mu.Unlock()
	for _, d := range w.destinations {
		d.receiver.remembered()
	}
	go p.run()
}

// current returns the process that runs, or nil.
func (w *world) current() *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.process == nil || w.process.dead.Load() {
		return nil
	}
	return w.process
}

func (w *world) report() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.history, "\n")
}
