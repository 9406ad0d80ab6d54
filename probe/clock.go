package probe

import (
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"headend-agent/internal/metric"
)

// Epochs keeps what is known of the clock of each boot, with the rounds that it is about.
type Epochs interface {
	// Timebase returns what is known of a boot, from an earlier agent too; false where that is nothing.
	Timebase(boot metric.Epoch) (metric.Timebase, bool)
	// Restamp tells what is known now. It must not wait for a disk, because the clock stands still meanwhile.
	Restamp(metric.Timebase)
}

// ClockParts are what a clock works with.
type ClockParts struct {
	Built     time.Time            // a date that no right clock is before
	Epochs    Epochs               // of the buffer that the rounds go to
	Proc      string               // mount point of procfs
	BootID    string               // tells this boot from others; "": the kernel's
	Wall      func() time.Time     // nil: time.Now
	SinceBoot func() time.Duration // time since boot, suspended time included; nil: the kernel's
}

// Clock stamps rounds, as metric.Timebase says. It reads the wall clock beside the time since boot, so it sees each
// step and knows its size. A clock that shows less than the program's own date is not set: rounds bear the time since
// boot until it is, and after that what it showed while it was.
type Clock struct {
	parts ClockParts
	boot  metric.Epoch

	// mu is held while Epochs is told of a change. No round can bear an epoch that the buffer does not know yet,
	// neither in memory nor in what a kill leaves, and no change can overtake another one.
	mu     sync.Mutex
	base   metric.Timebase
	known  bool          // base holds: the clock was set at some time of this boot
	offset time.Duration // Unix time minus time since boot, by the newest reading while the clock was set
	told   int64         // BaseMs, as Epochs knows it
	shown  time.Duration // wall clock minus time since boot, at the newest reading
	steps  uint64
}

// punctual is how late a round may begin and still bear its tick's time.
const punctual = 100 * time.Millisecond

// NewClock makes the clock of this machine. Where an earlier agent has stamped rounds of this boot, it goes on from
// there: a step while no agent ran is corrected like any other.
func NewClock(p ClockParts) *Clock {
	if p.BootID == "" {
		id, _ := os.ReadFile(filepath.Join(p.Proc, "sys/kernel/random/boot_id"))
		p.BootID = string(id)
	}
	if p.Wall == nil {
		p.Wall = time.Now
	}
	if p.SinceBoot == nil {
		p.SinceBoot = sinceBoot
	}
	c := &Clock{parts: p, boot: bootEpoch(p.BootID)}
	mono := p.SinceBoot()
	c.shown = c.reading(mono)
	if c.base, c.known = p.Epochs.Timebase(c.boot); c.known {
		c.offset, c.told = time.Duration(c.base.BaseMs)*time.Millisecond, c.base.BaseMs
		p.Epochs.Restamp(c.base) // nothing new, but which boot this is
	}
	c.read()
	return c
}

// bootEpoch names the boot with this ID, which has been hashed as the kernel writes it, line break included, since
// the first version. Without an ID a boot cannot be told from others, so each agent counts as one: rounds without a
// time are lost when it ends, but none gets the time of another boot.
func bootEpoch(id string) metric.Epoch {
	if id == "" {
		return metric.Epoch(rand.Uint64() | 1)
	}
	h := fnv.New64a()
	h.Write([]byte(id))
	return metric.Epoch(h.Sum64() | 1)
}

// sinceBoot is the time since boot, suspended time included.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // every Linux since 2.6.39 has it
	}
	return time.Duration(ts.Nano())
}

// reading returns the wall clock minus the time since boot.
func (c *Clock) reading(mono time.Duration) time.Duration {
	return time.Duration(c.parts.Wall().UnixNano()) - mono
}

// read follows the wall clock and returns the time by both clocks; while the clock has never been set, now is the
// time since boot.
func (c *Clock) read() (mono, now time.Duration) {
	mono = c.parts.SinceBoot()
	shown := c.reading(mono)
	if (shown - c.shown).Abs() > metric.SmallStep {
		c.steps++
	}
	c.shown = shown
	if mono+shown < time.Duration(c.parts.Built.UnixNano()) {
		return mono, mono + c.offset
	}
	c.offset = shown
	ms := shown.Milliseconds()
	switch {
	case !c.known:
		c.base, c.known = metric.NewTimebase(c.boot, mono, ms), true
	case c.base.Follow(mono, ms) == 0 && max(ms-c.told, c.told-ms) <= metric.Slack.Milliseconds():
		return mono, mono + c.offset
	}
	c.told = ms
	c.parts.Epochs.Restamp(c.base)
	return mono, mono + c.offset
}

// stamp is the time of a round.
type stamp struct {
	ms     int64
	epoch  metric.Epoch
	unset  bool
	line   int64 // orders the rounds of a boot, whatever their epochs
	shift  int64 // that was taken off ms, and has to come off other times of the round
	origin int64 // of the clock by which other times of the round have to be
}

// after tells whether a round with this stamp may follow one with t.
func (s stamp) after(t stamp) bool { return s.line > t.line || t == stamp{} }

// stamp returns the time for a round that was due at tick, in Unix nanoseconds. All rounds of a tick get its very
// time, unless they are late for it. It is false while the clock, having gone back a little, shows times that rounds
// may bear already.
func (c *Clock) stamp(tick time.Duration) (at stamp, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mono, now := c.read()
	if !c.known {
		return stamp{ms: mono.Milliseconds(), epoch: c.boot, unset: true, line: mono.Milliseconds()}, true
	}
	if late := now - tick; late >= 0 && late < punctual {
		now = tick
	}
	ms := now.Milliseconds()
	at = stamp{
		ms: ms - c.base.ShiftMs, epoch: c.base.Epoch, line: c.base.Line(ms),
		shift: c.base.ShiftMs, origin: c.base.OriginMs,
	}
	return at, at.line > c.base.FloorMs
}

// steppedSince tells whether the clock was stepped after a stamp, so that nobody knows by which clock a time read
// since then is.
func (c *Clock) steppedSince(at stamp) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read()
	return c.base.OriginMs != at.origin
}

// next returns the tick after now, in Unix nanoseconds, and how long it is until then. Ticks are multiples of
// interval, plus offset.
func (c *Clock) next(interval, offset time.Duration) (tick, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, now := c.read()
	tick = (now-offset)/interval*interval + offset
	for tick <= now {
		tick += interval
	}
	return tick, tick - now
}

// Steps counts the wall clock's steps of more than a minute.
func (c *Clock) Steps() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps
}
