package probe

import (
	"hash/fnv"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"headend-agent/internal/metric"
)

// Clock stamps rounds. It reads the wall clock beside the monotonic one, so it sees each step and knows its size: a step of more
// than a minute begins a new epoch, and the one before is corrected by it. A clock that shows less than the program's own date
// is not set yet; its rounds bear the time since boot until it is.
type Clock struct {
	built     time.Time
	boot      uint64
	wall      func() time.Time
	sinceBoot func() time.Duration
	restamp   func(metric.Epoch, int64)

	mu     sync.Mutex
	epoch  metric.Epoch
	unset  bool
	offset time.Duration // Unix time minus time since boot, at the last reading
	steps  uint64
}

// A step up to smallStep is waited out where it goes back, and simply followed where it goes forward.
const smallStep = 60 * time.Second

// NewClock makes the clock of this machine. built is a date that no right clock is before. restamp is told, when an epoch turns
// out to have been wrong, how many milliseconds to add to its times.
func NewClock(built time.Time, proc string, restamp func(metric.Epoch, int64)) *Clock {
	id, _ := os.ReadFile(filepath.Join(proc, "sys/kernel/random/boot_id"))
	h := fnv.New64a()
	h.Write(id)
	c := newClock(built, h.Sum64(), time.Now, monotonic, restamp)
	if !c.unset { // for what an agent before this one has left of the time before the clock was set
		restamp(metric.Epoch(c.boot|1), c.offset.Milliseconds())
	}
	return c
}

// monotonic is the time since boot, suspended time included.
func monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // every Linux since 2.6.39 has it
	}
	return time.Duration(ts.Nano())
}

func newClock(built time.Time, boot uint64, wall func() time.Time, sinceBoot func() time.Duration, restamp func(metric.Epoch, int64)) *Clock {
	c := &Clock{built: built, boot: boot, wall: wall, sinceBoot: sinceBoot, restamp: restamp}
	mono := sinceBoot()
	c.begin(time.Duration(wall().UnixNano())-mono, mono)
	return c
}

func (c *Clock) begin(offset, mono time.Duration) {
	c.offset = offset
	c.unset = offset+mono < time.Duration(c.built.UnixNano())
	// The unset epoch is that of the boot: an agent that starts anew before the clock is set goes on in it.
	c.epoch = metric.Epoch(c.boot | 1)
	if !c.unset {
		c.epoch = metric.Epoch((c.boot + uint64(mono)) &^ 1)
	}
}

// read follows the wall clock and returns the time by both clocks.
func (c *Clock) read() (mono, unix time.Duration) {
	mono = c.sinceBoot()
	offset := time.Duration(c.wall().UnixNano()) - mono
	step := offset - c.offset
	if step < -smallStep || step > smallStep {
		c.steps++
		old, wasUnset, was := c.epoch, c.unset, c.offset
		c.begin(offset, mono)
		switch {
		case c.unset: // back to nowhere: what was stamped before was not worse
		case wasUnset:
			c.restamp(old, offset.Milliseconds())
		default:
			c.restamp(old, (offset - was).Milliseconds())
		}
	}
	c.offset = offset
	return mono, mono + offset
}

// stamp is the time of a round.
type stamp struct {
	ms    int64
	epoch metric.Epoch
	unset bool
}

// after tells whether a round with this stamp may follow one with t.
func (s stamp) after(t stamp) bool { return s.epoch != t.epoch || s.ms > t.ms }

// stamp returns the time for a round that was due at tick, in Unix nanoseconds. All rounds of a tick get its very time, unless
// they are late for it.
func (c *Clock) stamp(tick time.Duration) stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	mono, now := c.read()
	if c.unset {
		return stamp{mono.Milliseconds(), c.epoch, true}
	}
	if late := now - tick; late >= 0 && late < punctual {
		now = tick
	}
	return stamp{now.Milliseconds(), c.epoch, false}
}

// punctual is how late a round may begin and still bear its tick's time.
const punctual = 100 * time.Millisecond

// next returns the tick after now, in Unix nanoseconds, and how long it is until then. Ticks are multiples of interval, plus offset.
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
