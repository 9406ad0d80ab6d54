package sim

import (
	"fmt"
	"sync"
	"time"

	"headend-agent/buffer"
	"headend-agent/probe"
)

// machineClock is the machine's wall clock and its time since boot. The bubble's clock is the true one.
type machineClock struct {
	life time.Time // when the life began, by the bubble's clock
	true time.Time // the true date at that moment

	mu     sync.Mutex
	ahead  time.Duration // of the true time, at since
	since  time.Time
	drift  float64 // seconds gained a second
	number int     // of the boot, from 0 on
	booted time.Time
	boots  []boot
}

// boot is what the clock showed between two starts of the machine.
type boot struct {
	seen  []base        // what the agent has read, in order of time
	small time.Duration // sum of the steps and of the drift that it has seen and that nobody has to correct
	ended time.Duration // since the life began; 0 for the one that lasts
	known time.Duration // until when its readings may be on the disk: its end, or the snapshot that was restored
	sure  time.Duration // until when they are
	lost  bool          // a kill without a WAL has cost readings: any of the boot's may be the last that is known
}

// base is what the wall clock shows less the time since boot, from a moment of the life on.
type base struct {
	from time.Duration // since the life began
	ms   int64
}

// built is the date of the program: a clock that shows less is not set.
var built = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

const smallStep = time.Minute // DESIGN: larger steps are corrected

func newMachineClock() *machineClock {
	c := &machineClock{life: time.Now(), true: built.Add(40 * 24 * time.Hour), since: time.Now(), booted: time.Now().Add(-time.Minute)}
	c.boots = []boot{{}}
	return c
}

func (c *machineClock) elapsed() time.Duration { return time.Since(c.life) }

func (c *machineClock) trueTime() time.Time { return c.true.Add(c.elapsed()) }

// wall is what the machine believes the time to be. It has no monotonic part, as a date that was read from a clock.
func (c *machineClock) wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *machineClock) now() time.Time {
	gained := time.Duration(c.drift * float64(time.Since(c.since)))
	return c.trueTime().Add(c.ahead + gained).Round(0)
}

func (c *machineClock) sinceBoot() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.booted)
}

// step moves the wall clock.
func (c *machineClock) step(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += by
}

// set puts the clock right.
func (c *machineClock) set() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead, c.since, c.drift = 0, time.Now(), 0
}

// forget notes that what was read in this boot is lost, but for what happens to be on the disk.
func (c *machineClock) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.boots[c.number].lost = true
}

// restored notes, after a reboot, that the disk knows only what it knew at a moment of the life.
func (c *machineClock) restored(to time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.boots[:c.number] {
		b := &c.boots[i]
		b.known, b.sure = min(b.known, to), min(b.sure, to-recordDelay)
	}
}

// run lets the clock gain some parts in a million.
func (c *machineClock) run(ppm float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += time.Duration(c.drift * float64(time.Since(c.since)))
	c.since, c.drift = time.Now(), ppm/1e6
}

// reboot starts the machine anew; without a battery its clock begins in 1970. What was read before a moment of the life is on the disk.
func (c *machineClock) reboot(battery bool, sure time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &c.boots[c.number]
	b.ended, b.known, b.sure = c.elapsed(), c.elapsed(), sure
	c.number++
	c.booted = time.Now()
	c.boots = append(c.boots, boot{})
	if !battery {
		c.ahead, c.since = time.Unix(1000, 0).Sub(c.trueTime()), time.Now()
	}
}

// read is wall for the agent's clock. What the agent has read, it has to go by.
func (c *machineClock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ms := &c.boots[c.number], c.baseMs()
	if !isSet(ms) {
		return c.now()
	}
	last := int64(0)
	if n := len(b.seen); n > 0 {
		last = b.seen[n-1].ms
	}
	moved := time.Duration(abs(ms-last)) * time.Millisecond
	if moved > stampSlack/4 {
		b.seen = append(b.seen, base{c.elapsed(), ms})
		if moved <= smallStep {
			b.small += moved
		}
	}
	return c.now()
}

func (c *machineClock) baseMs() int64 { return c.now().Add(-time.Since(c.booted)).UnixMilli() }

func (c *machineClock) base() (ms int64, boot int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.baseMs(), c.number
}

// isSet tells whether a base is of a clock that shows a plausible date.
func isSet(baseMs int64) bool { return baseMs > built.Add(-24*time.Hour).UnixMilli() }

// Slack of a time's check: a round bears the time of its tick if it is less than 100 ms late.
const stampSlack = 250 * time.Millisecond

// right tells whether ms can be the time of an entry that is handed out now, where the agent has read the clock last at read. The
// invariant: an entry has the time that the clock would have shown by what is known of it today.
func (c *machineClock) right(e *entry, ms int64, read time.Duration) bool {
	if e.own {
		return ms == e.ms
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &c.boots[e.boot]
	slack := (b.small + stampSlack).Milliseconds()
	from, to := read, c.elapsed()
	if e.boot != c.number { // what the agent knew when the boot ended
		from, to = min(read, b.sure), b.known
	}
	near := func(x base) bool {
		off := ms - (e.mono + x.ms)
		return off >= -slack && off <= slack+e.spread
	}
	last := base{}
	for _, x := range b.seen {
		if x.from > to {
			break
		}
		if (x.from > from || b.lost) && near(x) {
			return true
		}
		if x.from <= from {
			last = x
		}
	}
	return near(last)
}

// recordDelay is how long a correction may take to be safe from a power loss.
const recordDelay = 90 * time.Second

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

// agentClock is the clock of a process.
func (w *world) agentClock(b *buffer.Buffer) *probe.Clock {
	_, number := w.clock.base()
	return probe.NewClock(probe.ClockParts{
		Built: built, Epochs: b, BootID: fmt.Sprintf("boot %d of life %d", number, w.plan.Seed), Wall: w.clock.read, SinceBoot: w.clock.sinceBoot,
	})
}
