package probe

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/internal/metric"
)

// keeper is the Epochs of tests.
type keeper struct{ told []metric.Timebase }

func (k *keeper) Timebase(boot metric.Epoch) (metric.Timebase, bool) {
	for i := len(k.told) - 1; i >= 0; i-- {
		if k.told[i].Boot == boot {
			return k.told[i], true
		}
	}
	return metric.Timebase{}, false
}

func (k *keeper) Restamp(t metric.Timebase) { k.told = append(k.told, t) }

func (k *keeper) last() metric.Timebase { return k.told[len(k.told)-1] }

// machine is what a clock under test reads.
type machine struct {
	keeper
	wall  time.Time
	up    time.Duration
	boot  string
	clock *Clock
}

var built = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newMachine() *machine {
	m := &machine{wall: built.Add(1000 * time.Hour), up: time.Hour, boot: "boot"}
	m.start()
	return m
}

// start starts an agent.
func (m *machine) start() {
	m.clock = NewClock(ClockParts{
		Built: built, Epochs: m, BootID: m.boot,
		Wall: func() time.Time { return m.wall }, SinceBoot: func() time.Duration { return m.up },
	})
}

func (m *machine) pass(d time.Duration) { m.wall, m.up = m.wall.Add(d), m.up+d }

func (m *machine) stamp() stamp {
	at, _ := m.clock.stamp(0)
	return at
}

func TestRestartGoesOnInItsEpoch(t *testing.T) {
	m := newMachine()
	before := m.stamp()
	for range 100 { // a crash loop
		m.pass(time.Second)
		m.start()
	}
	if at := m.stamp(); at.epoch != before.epoch || m.last().Epochs != 1 {
		t.Errorf("%+v becomes %+v, and %+v is known", before, at, m.last())
	}
	m.wall = m.wall.Add(time.Hour)
	m.start()
	if at := m.stamp(); at.epoch == before.epoch || m.last().OriginMs-m.told[0].OriginMs != 3_600_000 {
		t.Errorf("a step while no agent ran leads to %+v, and %+v is known", at, m.last())
	}
}

// A clock that goes wild has no epoch left for each of its steps. The stamps go on in the last one.
func TestManyStepsNeedFewEpochs(t *testing.T) {
	m := newMachine()
	seen := map[metric.Epoch]bool{}
	for i := range 100 {
		m.pass(10 * time.Second)
		m.wall = m.wall.Add(time.Duration(1-2*(i%2)) * time.Duration(i+1) * time.Hour)
		at := m.stamp()
		seen[at.epoch] = true
		if got := time.UnixMilli(at.ms + m.last().ShiftMs); !got.Equal(m.wall) {
			t.Fatalf("step %d: the stamp says %s, the clock %s", i, got, m.wall)
		}
	}
	if len(seen) > 16 {
		t.Errorf("%d epochs", len(seen))
	}
}

func TestSmallStepsWhileNoAgentRanAreWaitedOut(t *testing.T) {
	m := newMachine()
	m.stamp()
	m.pass(2 * time.Second)
	m.wall = m.wall.Add(-30 * time.Second)
	m.start()
	for i := range 40 {
		if _, ok := m.clock.stamp(0); ok != (i > 30) {
			t.Fatalf("%d s after the start a round is stamped: %v", i, ok)
		}
		m.pass(time.Second)
	}
}

// Many small steps are not one large one, should the agent start anew after them.
func TestSmallStepsDoNotAddUp(t *testing.T) {
	m := newMachine()
	for range 10 {
		m.pass(time.Minute)
		m.wall = m.wall.Add(20 * time.Second)
		m.stamp()
	}
	m.start()
	if got := m.last(); got.OriginMs != m.told[0].OriginMs || got.BaseMs-got.OriginMs != 200_000 {
		t.Errorf("known is %+v, and was %+v", got, m.told[0])
	}
}

// Somebody sets the clock to 1970 while the agent runs. That says nothing, so rounds go on by what was known before.
func TestClockThatIsSetToNothing(t *testing.T) {
	m := newMachine()
	right := m.wall
	before := m.stamp()
	for _, restart := range []bool{false, true} {
		m.pass(10 * time.Second)
		right = m.wall.Add(0)
		m.wall = time.Unix(100, 0)
		if restart {
			m.start()
		}
		if at := m.stamp(); at.unset || at.epoch != before.epoch || at.ms != right.UnixMilli() {
			t.Errorf("restart %v: stamped %+v, want %d", restart, at, right.UnixMilli())
		}
		m.wall = right
		if at := m.stamp(); at.ms != right.UnixMilli() || at.epoch != before.epoch {
			t.Errorf("restart %v: after that %+v", restart, at)
		}
	}
	if m.clock.Steps() != 1 { // there and back is two, of which the restart hides one
		t.Errorf("%d steps", m.clock.Steps())
	}
}

// A boot that cannot be told from others is taken for another one each time.
func TestBootWithoutID(t *testing.T) {
	m := newMachine()
	m.boot = ""
	m.start()
	a := m.stamp().epoch
	m.start()
	if b := m.stamp().epoch; a.SameBoot(b) {
		t.Errorf("%x and %x are of one boot", a, b)
	}
}

// The buffer has to know which boot this is, so that rounds without a time that are of another one do not wait for
// ever.
func TestStartTellsTheBootWhereNothingIsNew(t *testing.T) {
	m := newMachine()
	n := len(m.told)
	m.start()
	if len(m.told) == n {
		t.Error("nothing is told")
	}
}

// Readings differ by a little on a busy machine. Rounds keep their order all the same, over steps too.
func TestOrderHoldsOverSteps(t *testing.T) {
	m := newMachine()
	a := m.stamp()
	m.pass(10 * time.Millisecond)
	m.wall = m.wall.Add(-50 * time.Millisecond)
	if b := m.stamp(); b.after(a) {
		t.Errorf("%+v may follow %+v", b, a)
	}
	m.wall = m.wall.Add(time.Hour)
	if c := m.stamp(); c.after(a) {
		t.Errorf("%+v may follow %+v", c, a)
	}
	m.pass(50 * time.Millisecond)
	if d := m.stamp(); !d.after(a) {
		t.Errorf("%+v may not follow %+v", d, a)
	}
}

// The start of a round's counters is by the same clock as its time, whatever the clock does.
func TestStartOfCountersIsByTheSameClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		during := time.Duration(0)
		p := probeFunc(func(_ context.Context, out *metric.Set) error {
			b.mu.Lock()
			b.shift += during
			b.mu.Unlock()
			out.Add(counted, 1)
			out.Since(b.now().Add(-time.Since(b.started)))
			return nil
		})
		clock := NewClock(ClockParts{
			Built: b.built, BootID: "boot", Epochs: &b.epochs,
			Wall: b.now, SinceBoot: func() time.Duration { return time.Since(b.started) },
		})
		var last metric.Round
		sink := func(r metric.Round) { last = r }
		b.Runner = NewRunner(metric.NewTable(), clock, sink, "host", slog.New(slog.DiscardHandler))
		stop := b.run(Instance{Kind: "a", Probe: p, Interval: 10 * time.Second})
		defer stop()
		for i := range 30 {
			b.pass(10 * time.Second)
			counted := time.Duration(last.TimeMs-last.StartMs) * time.Millisecond
			if counted < 0 || counted > time.Since(b.started) {
				t.Fatalf("after %d steps a round at %d counts from %d on", i, last.TimeMs, last.StartMs)
			}
			b.shift += time.Duration(i+1) * time.Hour
		}
		during = time.Hour
		b.pass(10 * time.Second)
		if last.StartMs != 0 {
			t.Error("a round during which the clock was stepped has a start, by which clock nobody knows")
		}
	})
}
