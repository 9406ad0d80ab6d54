package sim

import (
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"headend-agent/buffer"
	"headend-agent/internal/metric"
)

// Result is what came of a life.
type Result struct {
	Violations            []string
	History               string
	Rounds, Samples       int
	Events, Starts, Lines int
	Virtual               time.Duration
}

// Live lives a plan. It must be called in a bubble of testing/synctest, in which nothing else runs.
func Live(p Plan) Result {
	w := newWorld(p)
	early := 0
	for early < len(p.Events) && p.Events[early].At == 0 { // it is there before the agent
		w.begin(p.Events[early])
		early++
	}
	w.start()
	for _, e := range p.Events[early:] {
		w.until(e.At)
		w.begin(e)
	}
	w.until(p.Setup.Length)
	w.settle()
	if hours := w.clock.elapsed().Hours(); w.lines > 40+12*(len(p.Events)+w.starts)+int(60*hours) {
		w.fail("bounds: %d lines were logged in %.1f hours", w.lines, hours)
	}
	for _, d := range w.destinations {
		w.balance(d)
	}
	return Result{
		Violations: w.violations, History: w.report(), Rounds: w.ledger.rounds, Samples: w.ledger.samples,
		Events: len(p.Events), Starts: w.starts, Lines: w.lines, Virtual: w.clock.elapsed(),
	}
}

// begin makes an event happen now, and ends it later.
func (w *world) begin(e Event) {
	if end := w.happen(e); end != nil {
		w.later(e.For, end)
	}
}

// until sleeps to a moment of the life, and does on the way what is due.
func (w *world) until(at time.Duration) {
	for {
		var next *deed
		w.locked(func() {
			for _, x := range w.deeds {
				if x.at <= at && (next == nil || x.at < next.at) {
					next = x
				}
			}
			w.deeds = slices.DeleteFunc(w.deeds, func(x *deed) bool { return x == next })
		})
		if next == nil {
			time.Sleep(at - w.clock.elapsed())
			return
		}
		time.Sleep(next.at - w.clock.elapsed())
		next.do()
		w.bounds()
	}
}

// deed is something that is to be done at a moment of the life.
type deed struct {
	at time.Duration
	do func()
}

func (w *world) later(after time.Duration, do func()) {
	w.locked(func() { w.deeds = append(w.deeds, &deed{w.clock.elapsed() + after, do}) })
}

func (w *world) locked(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) allCauses(reasons ...string) {
	w.locked(func() {
		for _, d := range w.destinations {
			for _, r := range reasons {
				d.causes[r] = true
			}
		}
	})
}

func (w *world) killProcess() {
	if p := w.current(); p != nil {
		p.kill()
		w.inHandGoes(p)
		w.memoryGoes()
	}
}

// killInside kills the process in the middle of its n-th operation on a file from now on, and then does something.
func (w *world) killInside(n int, then func()) {
	p := w.current()
	if p == nil {
		return
	}
	blown := func() {
		if !p.dead.Swap(true) {
			go func() {
				p.bury()
				w.inHandGoes(p)
				w.memoryGoes()
				then()
			}()
		}
	}
	w.disk.locked(func() { p.files.blown, p.files.fuse = blown, n })
}

// restart stops the process in order, does something, and starts it again. One that comes meanwhile comes after it.
func (w *world) restart(between func()) {
	w.restarting <- struct{}{}
	defer func() { <-w.restarting }()
	p := w.current()
	if p == nil {
		between()
		return
	}
	p.stop()
	if p.dead.Swap(true) { // killed meanwhile
		between()
		return
	}
	w.inHandGoes(p)
	now := w.clock.elapsed()
	w.mu.Lock()
	_, bad := w.trouble.disk.from(now)
	w.mu.Unlock()
	if bad {
		w.memoryGoes()
	}
	between()
	w.start()
}

func (w *world) reload() {
	if p := w.current(); p != nil {
		p.reload()
	}
}

// secondAgent opens the same directories, as a second agent by mistake does. It returns what ends it.
func (w *world) secondAgent() func() {
	v := &view{disk: w.disk, dead: new(atomic.Bool)}
	b, err := buffer.Open(w.bufferConfig(), buffer.Parts{Table: metric.NewTable(), Log: slog.New(slog.DiscardHandler), Runtime: runtimeDir, FS: v, Wall: w.clock.wall})
	if err != nil {
		w.fail("a second agent does not start: %v", err)
		return func() {}
	}
	return func() { b.Close() }
}

// settle makes everything well, and waits until the agent has delivered what it holds.
func (w *world) settle() {
	w.say("the rest of the life all is well")
	w.killInside(0, nil) // one that is to come does not
	for len(w.deeds) > 0 {
		deeds := w.deeds
		w.deeds = nil
		slices.SortFunc(deeds, func(a, b *deed) int { return int(a.at - b.at) })
		for _, x := range deeds {
			x.do()
		}
	}
	w.clock.set()
	for _, d := range w.destinations {
		d.receiver.heal()
		d.receiver.behave(func(m *manner) { m.Protocols = d.setup.Protocols })
	}
	for _, s := range w.sources {
		s.change(func(s *source) { s.hangs, s.broken = 0, false })
	}
	w.locked(func() { w.absent = false })
	time.Sleep(time.Second)
	w.start()
	time.Sleep(5*time.Minute + 2*w.sources[0].interval)
	w.fresh()
	p := w.current()
	if p == nil {
		w.fail("no agent runs in the end")
		return
	}
	w.inUse(p)
	p.quiet()
	all := w.drain(p)
	p.stop()
	if n := w.disk.used(); all && n > w.room() {
		w.fail("bounds: the ring takes %d bytes in the end, of %d, though all is delivered", n, w.room())
	}
	p.dead.Store(true)
	for _, d := range w.destinations {
		d.receiver.close()
	}
	time.Sleep(2 * longestWork) // what still works on a request, or hangs in a probe, ends
}

// longestPause is how long a sender may wait before it tries again, when a receiver has asked it to.
const longestPause = 12 * time.Minute

// fresh checks that new samples go at once to a destination with order live_first, whatever waits beside them.
func (w *world) fresh() {
	for _, d := range w.destinations {
		if !d.setup.LiveFirst {
			continue
		}
		time.Sleep(max(0, w.plan.Setup.Length+longestPause-w.clock.elapsed()))
		newest := time.Duration(0)
		w.ledger.each(d.name, func(_ *series, e *entry, f *fate) {
			if f.flags&stored != 0 {
				newest = max(newest, e.appended)
			}
		})
		interval := w.sources[0].interval
		if old := w.clock.elapsed() - newest; old > d.setup.Flush+2*interval+time.Minute {
			w.fail("progress: the newest sample that %s has is %s old, though it gets what is live first", d.name, old)
		}
	}
}

// inUse checks that the agent has taken its disk and its WAL into use again, which have been well for long enough.
func (w *world) inUse(p *process) {
	time.Sleep(max(0, w.plan.Setup.Length+retryTime+time.Minute-w.clock.elapsed()))
	s := p.buffer.Load().Stats()
	if s.Mode != buffer.ModeDisk || s.Tail == w.plan.Setup.NoTmpfs {
		w.fail("progress: the disk is well, and the buffer goes on in mode %s, with a WAL: %t", s.Mode, s.Tail)
	}
}

// bounds checks that a process keeps within its limits, while it runs.
func (w *world) bounds() {
	p := w.current()
	if p == nil || p.buffer.Load() == nil {
		return
	}
	largest := 0
	for _, s := range w.sources {
		largest = max(largest, s.size())
	}
	memory := w.plan.Setup.MemoryMiB<<20 + 2*(10*largest+1<<10) // the newest round is always kept
	if n := p.buffer.Load().Stats().Bytes; n > memory {
		w.fail("bounds: the buffer holds %d bytes in memory, of %d", n, memory)
	}
	if n := w.disk.used(); n > w.most() {
		w.fail("bounds: the ring takes %d bytes, of %d", n, w.most())
	}
	if n := len(p.world.net.connections()); n > 4*len(w.destinations) {
		w.fail("bounds: %d connections are open", n)
	}
}

// room is how many bytes the ring's directory may have while nothing is wrong; most is the same for the largest that it ever was.
func (w *world) room() int64 { w.mu.Lock(); defer w.mu.Unlock(); return directory(w.sizeMiB) }
func (w *world) most() int64 { w.mu.Lock(); defer w.mu.Unlock(); return directory(w.largestMiB) }

func directory(sizeMiB int) int64 {
	const cursors = 64 << 10
	return int64(sizeMiB)<<20 + cursors
}

// patience is how long a destination that is well may take to get all that waits.
const patience = 12 * time.Hour

// drain waits until all is delivered. It is false where something is left.
func (w *world) drain(p *process) bool {
	lost := map[string]int{} // what the agent may wait for in vain
	for _, d := range w.destinations {
		w.ledger.each(d.name, func(_ *series, _ *entry, f *fate) {
			if f.flags&(mayBeLost|mayRepeat) != 0 {
				lost[d.name]++
			}
		})
	}
	pending := func(d *destination) int { return p.buffer.Load().Stats().Destinations[d.name].Pending }
	sum, since := 0, w.clock.elapsed() // what waits, and since when it has not changed
	for end := since + patience; w.clock.elapsed() < end; time.Sleep(10 * time.Second) {
		left, vain := 0, true
		for _, d := range w.destinations {
			n := pending(d)
			left += n
			vain = vain && n <= lost[d.name]
		}
		if left != sum {
			sum, since = left, w.clock.elapsed()
		}
		if left == 0 || vain && w.clock.elapsed()-since > time.Hour {
			return left == 0
		}
	}
	for _, d := range w.destinations {
		if n := pending(d); n > lost[d.name] {
			w.fail("progress: %d samples still wait for %s after %s in which all was well; %s", n, d.name, patience, p.status(d.name))
		}
	}
	return false
}

// balance checks that each sample has an end with a cause.
func (w *world) balance(d *destination) {
	missing, unexplained, explained := 0, 0, 0
	example := ""
	w.ledger.each(d.name, func(s *series, e *entry, f *fate) {
		if !e.kept || f.flags&stored != 0 || e.appended < d.since {
			return
		}
		missing++
		if f.flags&(refused|mayBeLost) != 0 {
			explained++
			return
		}
		unexplained++
		if example == "" {
			example = fmt.Sprintf("%s, stamped %d, appended at %s, flags %b", s.labels, e.ms, e.appended, f.flags)
		}
	})
	counted := 0
	for reason, n := range d.counted {
		if n > 0 && !w.explains(d, reason) && !(w.powerLost && (reason == "overflow" || reason == "damaged")) {
			w.fail("conservation: %d samples for %s ended as %s, for which there is no cause", n, d.name, reason)
		}
		if w.explains(d, reason) {
			counted += n
		}
	}
	if unexplained > counted {
		w.fail("no loss: %s lacks %d samples, %d of them for no reason of ours; the agent counts %v; one is %s",
			d.name, missing, unexplained, d.counted, example)
	}
}

// explains tells whether something has happened for which samples may end so, that are not known to be at stake.
func (w *world) explains(d *destination, reason string) bool {
	if d.causes[reason] {
		return true
	}
	if reason != "overflow" {
		return false
	}
	bytes := w.ledger.samples*9 + w.ledger.rounds*200 // more than may be kept?
	w.mu.Lock()
	defer w.mu.Unlock()
	_, troubled := w.trouble.disk.from(w.trouble.disk.until)
	return bytes > w.plan.Setup.SizeMiB<<20/2 || troubled && bytes > w.plan.Setup.MemoryMiB<<20/2
}
