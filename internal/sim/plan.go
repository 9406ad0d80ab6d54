// Package sim lives an agent's life in virtual time: the real scheduler, buffer and senders between a simulated machine, network and
// receivers, all of which fail. Whatever happens, the simulation's own ledger knows what must have become of each sample.
package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Plan is a life: all that will happen is drawn before it begins, so that it can be repeated, and shrunk when it fails.
type Plan struct {
	Seed   uint64
	Setup  Setup
	Events []Event
}

// Setup is what a life begins with.
type Setup struct {
	Length       time.Duration
	Sources      []SourceSetup
	Destinations []DestinationSetup
	SizeMiB      int           // of the ring
	MemoryMiB    int           // of the buffer
	Commit       time.Duration // commit interval
	NoTmpfs      bool
	NoBattery    bool // the clock begins in 1970 with each boot
	Noisy        bool // values that nothing compresses: the ring fills up
}

// SourceSetup is something to probe.
type SourceSetup struct {
	Series   int
	Interval time.Duration
	Own      bool // it gives times by itself
}

// DestinationSetup is a receiver and how the agent is configured towards it.
type DestinationSetup struct {
	Protocols string // of the receiver: both, v1, v2
	Zstd      bool
	Message   string // protobuf_message
	Flush     time.Duration
	LiveFirst bool
	Drop      bool // on_refusal: drop
	MaxAge    time.Duration
	Rate      int // backlog_bytes_per_second
}

// Event is one thing that happens; at 0 it does before the agent starts. For is how long it lasts, where it does; N and M are its sizes, On the destination or source that
// it happens to.
type Event struct {
	At   time.Duration
	Kind string
	For  time.Duration `json:",omitempty"`
	On   int           `json:",omitempty"`
	N    int           `json:",omitempty"`
	M    int           `json:",omitempty"`
}

// Draw makes the plan of a life.
func Draw(seed uint64) Plan {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	p := Plan{Seed: seed, Setup: drawSetup(r)}
	at := time.Duration(0)
	last := ""
	for n := 20 + r.IntN(20); n > 0; n-- {
		// Events come in clusters: what breaks is two of them that touch.
		gap := logUniform(r, time.Millisecond, 20*time.Second)
		if r.IntN(3) == 0 {
			gap = logUniform(r, 10*time.Second, p.Setup.Length/8)
		}
		at += gap
		e := drawEvent(r, &p.Setup, last)
		e.At = at
		last = e.Kind
		p.Events = append(p.Events, e)
	}
	p.Setup.Length = max(p.Setup.Length, at+time.Minute)
	at, out := logUniform(r, time.Second, p.Setup.Length/2), logUniform(r, 2*time.Minute, p.Setup.Length/3)
	if p.Setup.Noisy { // what is delivered at once fills nothing
		at, out = p.Setup.Length/20, p.Setup.Length*3/4
	}
	if p.Setup.Noisy || r.IntN(3) == 0 {
		p.strike(r, at, out)
	}
	if p.Setup.Noisy {
		for i := range p.Setup.Destinations {
			e := Event{At: at, Kind: "refuse", For: out, On: i}
			p.Events = append(p.Events, e)
		}
		p.Events = append(p.Events, Event{At: p.Setup.Length / 2, Kind: "resize_ring", N: r.IntN(3)}) // smaller, mostly
	}
	slices.SortStableFunc(p.Events, func(a, b Event) int { return int(a.At - b.At) })
	if r.IntN(6) == 0 {
		e := drawEvent(r, &p.Setup, "")
		e.Kind = pick(r, "disk_full", "disk_full", "disk_readonly", "disk_denied", "disk_eio", "run_full")
		e.For = logUniform(r, time.Minute, p.Setup.Length/2)
		p.Events = slices.Insert(p.Events, 0, e)
	}
	return p
}

// strike adds a chord: an outage, a process that is another one when it ends, and a disk in trouble when the backlog is to be read.
func (p *Plan) strike(r *rand.Rand, at, out time.Duration) {
	on := r.IntN(12)
	event := func(at time.Duration, last time.Duration, kinds ...string) {
		p.Events = append(p.Events, Event{At: at, Kind: pick(r, kinds...), For: last, On: on, N: r.IntN(1 << 20), M: r.IntN(1 << 20)})
	}
	event(at, out, "refuse", "blackhole", "no_name", "status")
	event(at+out-30*time.Second, 0, "restart", "kill", "kill_inside", "power_loss", "power_loss", "power_inside")
	event(at+out-5*time.Second, logUniform(r, time.Minute, 15*time.Minute), "disk_read_error", "disk_denied", "disk_moved", "disk_eio", "sync_fails")
}

func drawSetup(r *rand.Rand) Setup {
	s := Setup{
		Length:  logUniform(r, 10*time.Minute, 100*time.Minute),
		SizeMiB: pick(r, 2, 4, 4, 8, 64), MemoryMiB: pick(r, 1, 1, 2, 8), Commit: pick(r, 5*time.Second, 30*time.Second, 30*time.Second, 2*time.Minute),
		NoTmpfs: r.IntN(5) == 0, NoBattery: r.IntN(6) == 0,
	}
	interval := pick(r, time.Second, 5*time.Second, 5*time.Second, 10*time.Second, 10*time.Second, 10*time.Second, 30*time.Second, time.Minute)
	budget := 40_000.0 // samples of a life, about
	if r.IntN(20) == 0 {
		budget, s.Noisy, s.SizeMiB = 400_000, true, pick(r, 2, 3, 4, 8)
	}
	rounds := float64(s.Length / interval)
	for n := 1 + r.IntN(4); n > 0; n-- {
		most := max(1, min(20_000, 3*budget/rounds))
		x := SourceSetup{Series: int(math.Exp(r.Float64() * math.Log(most))), Interval: interval, Own: r.IntN(6) == 0}
		if s.Noisy { // all of it: a backlog of many batches, more than the memory holds and about as much as the ring does
			x = SourceSetup{Series: max(1, int(min(20_000, budget/rounds))), Interval: interval}
		}
		if x.Own {
			x.Series = min(x.Series, 50)
		}
		budget = max(0, budget-float64(x.Series)*rounds)
		s.Sources = append(s.Sources, x)
	}
	for n := pick(r, 1, 1, 1, 2, 3); n > 0; n-- {
		d := DestinationSetup{
			Protocols: pick(r, "both", "both", "v1", "v2"), Message: "auto", Flush: pick(r, time.Second, 5*time.Second, 5*time.Second, 15*time.Second),
			LiveFirst: r.IntN(3) == 0, Drop: r.IntN(8) == 0, Zstd: r.IntN(3) == 0, Rate: pick(r, 0, 0, 256<<10, 16<<10),
		}
		if r.IntN(5) == 0 && d.Protocols != "both" {
			d.Message = map[string]string{"v1": "prometheus.WriteRequest", "v2": "io.prometheus.write.v2.Request"}[d.Protocols]
		}
		if r.IntN(10) == 0 {
			d.MaxAge = pick(r, time.Minute, 20*time.Minute)
		}
		s.Destinations = append(s.Destinations, d)
	}
	return s
}

// kinds are the events, and how they are drawn. Those of a group touch each other: one is likely to follow another.
var kinds = []struct {
	name  string
	group string
}{
	{"kill", "process"}, {"kill", "process"}, {"kill_inside", "process"}, {"kill_inside", "process"}, {"restart", "process"}, {"reload", "process"}, {"reload", "process"}, {"resize_ring", "process"},
	{"labels", "process"}, {"relabel", "process"}, {"drop_destination", "process"}, {"second_agent", "process"}, {"newer_format", "process"},
	{"power_loss", "disk"}, {"power_inside", "disk"}, {"snapshot", "disk"}, {"restore", "disk"}, {"disk_full", "disk"}, {"disk_eio", "disk"}, {"disk_readonly", "disk"},
	{"disk_denied", "disk"}, {"disk_slow", "disk"}, {"disk_moved", "disk"}, {"disk_read_error", "disk"}, {"sync_fails", "disk"}, {"run_full", "disk"},
	{"step", "clock"}, {"step", "clock"}, {"small_step", "clock"}, {"drift", "clock"}, {"unset", "clock"},
	{"refuse", "line"}, {"refuse", "line"}, {"blackhole", "line"}, {"no_name", "line"}, {"cut", "line"}, {"thin", "line"}, {"far", "line"}, {"deaf", "line"},
	{"status", "receiver"}, {"status", "receiver"}, {"too_large", "receiver"}, {"portal", "receiver"}, {"most_samples", "receiver"}, {"most_bytes", "receiver"},
	{"slow_by_sample", "receiver"}, {"oldest_age", "receiver"}, {"poisoned", "receiver"}, {"store_refuse", "receiver"}, {"lose_answers", "receiver"},
	{"slow", "receiver"}, {"protocol", "receiver"},
	{"churn", "probe"}, {"churning", "probe"}, {"shrink", "probe"}, {"grow", "probe"}, {"break", "probe"}, {"hang", "probe"},
}

func drawEvent(r *rand.Rand, s *Setup, last string) Event {
	touching := map[string]string{"process": "line", "line": "process", "disk": "process", "clock": "line", "receiver": "line", "probe": "process"}
	i := r.IntN(len(kinds))
	if last != "" && r.IntN(2) == 0 {
		group := kinds[slices.IndexFunc(kinds, func(k struct{ name, group string }) bool { return k.name == last })].group
		for kinds[i].group != group && kinds[i].group != touching[group] {
			i = r.IntN(len(kinds))
		}
	}
	e := Event{Kind: kinds[i].name, For: logUniform(r, 100*time.Millisecond, s.Length/3), On: r.IntN(12), N: r.IntN(1 << 20), M: r.IntN(1 << 20)}
	switch e.Kind {
	case "churning":
		e.For = min(e.For, 10*time.Minute)
	case "second_agent":
		e.For = min(e.For, 5*time.Minute)
	case "most_samples", "most_bytes", "slow_by_sample", "thin", "too_large": // a sender needs minutes to find out what is wrong
		e.For = logUniform(r, time.Minute, s.Length/2)
	}
	return e
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func logUniform(r *rand.Rand, from, to time.Duration) time.Duration {
	if to <= from {
		return from
	}
	return time.Duration(float64(from) * math.Exp(r.Float64()*math.Log(float64(to)/float64(from))))
}
