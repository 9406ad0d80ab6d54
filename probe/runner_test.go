package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/internal/metric"
)

var (
	tested  = &metric.Desc{Name: "tested", Type: metric.Gauge, Labels: []string{"n"}}
	counted = &metric.Desc{Name: "counted_total", Type: metric.Counter}
)

type probeFunc func(context.Context, *metric.Set) error

func (f probeFunc) Collect(ctx context.Context, out *metric.Set) error { return f(ctx, out) }

// bench is a runner on a clock of the bubble, whose wall clock may be set apart from it.
type bench struct {
	*Runner
	t       *testing.T
	shift   time.Duration // wall clock minus the bubble's
	mu      sync.Mutex
	lines   []string
	stamps  []string
	epochs  keeper
	logged  strings.Builder
	started time.Time
	built   time.Time
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, started: time.Now(), built: time.Now().Add(-time.Hour)}
	return b
}

func (b *bench) run(instances ...Instance) (stop func()) {
	if b.Runner == nil {
		clock := NewClock(ClockParts{
			Built: b.built, BootID: "boot", Epochs: &b.epochs, Wall: b.now, SinceBoot: func() time.Duration { return time.Since(b.started) + time.Hour },
		})
		b.Runner = NewRunner(metric.NewTable(), clock, b.sink, "host", slog.New(slog.NewTextHandler(&b.logged, nil)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.Apply(ctx, instances)
	return func() { cancel(); b.Stop() }
}

func (b *bench) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Add(b.shift)
}

// pass lets time pass, and what happens in it end. Probes see what the test has changed before.
func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	b.mu.Unlock()
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) sink(r metric.Round) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var parts []string
	for i, ref := range r.Series {
		v := fmt.Sprint(r.Values[i])
		if metric.IsStale(r.Values[i]) {
			v = "stale"
		}
		parts = append(parts, ref.Labels.String()+"="+v)
	}
	b.lines = append(b.lines, strings.Join(parts, " "))
	at := fmt.Sprint(r.TimeMs - b.started.UnixMilli())
	if r.Unset {
		at = fmt.Sprint("boot+", r.TimeMs)
	}
	b.stamps = append(b.stamps, at)
}

func (b *bench) expect(want ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got, want := strings.Join(b.lines, "\n"), strings.Join(want, "\n"); got != want {
		b.t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	b.lines = nil
}

func steady(ctx context.Context, out *metric.Set) error {
	out.Add(counted, 1)
	return nil
}

func TestFirstRoundAtOnceThenAlignedTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		a, c := Instance{Kind: "a", Probe: probeFunc(steady), Interval: 10 * time.Second}, Instance{Kind: "c", Probe: probeFunc(steady), Interval: 10 * time.Second}
		stop := b.run(a, c)
		b.pass(25 * time.Second)
		stop()
		if len(b.stamps) != 6 {
			t.Fatalf("rounds at %v, want 3 of each probe", b.stamps)
		}
		if b.stamps[0] != "0" || b.stamps[1] != "0" {
			t.Errorf("first rounds at %v, want 0", b.stamps[:2])
		}
		for i := 2; i < 6; i += 2 {
			if b.stamps[i] != b.stamps[i+1] {
				t.Errorf("the probes of one tick have the times %v", b.stamps[i:i+2])
			}
		}
		var first, second int
		fmt.Sscan(b.stamps[2], &first)
		fmt.Sscan(b.stamps[4], &second)
		if second-first != 10_000 {
			t.Errorf("ticks at %d and %d ms", first, second)
		}
		if off := (b.started.UnixMilli() + int64(first) - b.offset(10*time.Second).Milliseconds()) % 10_000; off > 1 {
			t.Errorf("the tick is %d ms away from the host's place in the interval", off)
		}
	})
}

func TestTickRightAfterTheStartIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		a := Instance{Kind: "a", Probe: probeFunc(steady), Interval: 10 * time.Second}
		b.run(a)() // for the host's place in the interval
		_, wait := b.clock.next(a.Interval, b.offset(a.Interval))
		b.pass(wait - 100*time.Millisecond)
		b.stamps = nil
		stop := b.run(a)
		b.pass(25 * time.Second)
		stop()
		var at [3]int
		for i := range at {
			fmt.Sscan(b.stamps[i], &at[i])
		}
		if at[1]-at[0] != 10_100 || at[2]-at[1] != 10_000 {
			t.Errorf("rounds at %v", b.stamps)
		}
	})
}

func TestFailureEndsTheSeriesAndRecoveryBringsThemBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var broken error
		p := probeFunc(func(_ context.Context, out *metric.Set) error {
			out.Add(tested, 1, "x")
			return broken
		})
		stop := b.run(Instance{Kind: "a", Probe: p, Interval: 10 * time.Second})
		defer stop()
		b.pass(15 * time.Second)
		broken = errors.New("the source is gone")
		b.pass(20 * time.Second)
		broken = nil
		b.pass(10 * time.Second)
		b.expect(`tested{n="x"}=1`, `tested{n="x"}=1`, `tested{n="x"}=stale`, `tested{n="x"}=1`)
		if n := strings.Count(b.logged.String(), "\n"); n != 2 {
			t.Errorf("%d log lines, want one for the failure and one for the recovery:\n%s", n, b.logged.String())
		}
	})
}

func TestStuckProbeCostsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		hang := make(chan struct{})
		calls, inside := 0, 0
		stuck := probeFunc(func(ctx context.Context, out *metric.Set) error {
			calls++
			inside++
			if inside > 1 {
				t.Error("two runs of one probe at once")
			}
			out.Add(tested, float64(calls), "x")
			if calls == 2 {
				<-hang // deaf to ctx, as a read of a dead mount is
			}
			inside--
			return nil
		})
		stop := b.run(Instance{Kind: "stuck", Probe: stuck, Interval: 10 * time.Second})
		b.pass(55 * time.Second)
		b.expect(`tested{n="x"}=1`, `tested{n="x"}=stale`)
		if s := b.jobs[0].state; s.late != 1 || s.skipped < 3 {
			t.Errorf("late %d, skipped %d; want 1 and at least 3", s.late, s.skipped)
		}
		// A reload while it is stuck starts no second run.
		stop()
		stop = b.run(Instance{Kind: "stuck", Probe: stuck, Interval: 10 * time.Second})
		b.pass(15 * time.Second)
		b.expect()
		close(hang)
		b.pass(10 * time.Second)
		b.expect(`tested{n="x"}=3`)
		stop()
	})
}

func TestPanicTurnsTheProbeOffUntilReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		calls := 0
		p := probeFunc(func(_ context.Context, out *metric.Set) error {
			calls++
			out.Add(counted, 1)
			if calls == 2 {
				panic("boom")
			}
			return nil
		})
		stop := b.run(Instance{Kind: "a", Probe: p, Interval: 10 * time.Second})
		b.pass(60 * time.Second)
		stop()
		b.expect("counted_total=1", "counted_total=stale")
		if !strings.Contains(b.logged.String(), "boom") || !strings.Contains(b.logged.String(), "runner_test.go") {
			t.Errorf("the log lacks the panic or its stack: %s", b.logged.String())
		}
		stop = b.run(Instance{Kind: "a", Probe: p, Interval: 10 * time.Second})
		b.pass(time.Second)
		stop()
		b.expect("counted_total=1")
	})
}

func TestReloadEndsSeriesOfProbesThatWentButStopDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		a := Instance{Kind: "a", Probe: probeFunc(steady), Interval: 10 * time.Second}
		other := Instance{Kind: "other", Target: "1", Interval: 10 * time.Second, Probe: probeFunc(func(_ context.Context, out *metric.Set) error {
			out.Add(tested, 1, "x")
			return nil
		})}
		b.run(a, other)
		b.pass(time.Millisecond)
		b.lines = nil
		stop := b.run(a)
		synctest.Wait()
		slices.Sort(b.lines) // the first round of the one and the end of the other are not in any order
		b.expect("counted_total=1", `tested{n="x"}=stale`)
		stop()
		b.expect()
	})
}

// holder is a probe that holds something open.
type holder struct {
	probeFunc
	holds  *string
	closed *int
}

func (h *holder) Close() error { *h.closed++; return nil }

func (h *holder) Inherit(before Probe) { h.holds = before.(*holder).holds }

// closer is one that only wants to be closed.
type closer struct {
	probeFunc
	closed *int
}

func (c closer) Close() error { *c.closed++; return nil }

// slowToClose is one that holds something which takes long to close, like a GPU's driver.
type slowToClose struct{ probeFunc }

func (slowToClose) Close() error { time.Sleep(9 * time.Second); return nil }

func TestPagesDoNotWaitForAProbeThatCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		slow := Instance{Kind: "slow", Probe: slowToClose{steady}, Interval: 10 * time.Second}
		b.run(slow)
		b.pass(time.Millisecond)
		applied := make(chan func())
		go func() { applied <- b.run(slow) }()
		time.Sleep(time.Second)
		begin, rounds := time.Now(), 0
		b.Latest(func(metric.Round) { rounds++ })
		if took := time.Since(begin); took > 0 || rounds == 0 {
			t.Errorf("%d rounds after %v", rounds, took)
		}
		(<-applied)()
	})
}

func TestReloadHandsOnWhatProbesHoldOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		closed, thing := 0, "open"
		heir := func(holds *string) Instance {
			return Instance{Kind: "heir", Probe: &holder{steady, holds, &closed}, Interval: 10 * time.Second}
		}
		plain := Instance{Kind: "plain", Probe: closer{steady, &closed}, Interval: 10 * time.Second}
		b.run(heir(&thing), plain)
		next := heir(nil)
		b.run(next, plain)
		if got := next.Probe.(*holder).holds; got != &thing || closed != 1 { // the plain one's predecessor
			t.Errorf("inherited %v, closed %d, want 1", got, closed)
		}
		stop := b.run()
		if closed != 3 {
			t.Errorf("closed %d, want all 3", closed)
		}
		stop()
		b.run(plain)
		b.Close()
		if closed != 4 {
			t.Errorf("closed %d after the end, want 4", closed)
		}
	})
}

func TestSmallStepBackIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		stop := b.run(Instance{Kind: "a", Probe: probeFunc(steady), Interval: 10 * time.Second})
		b.pass(35 * time.Second)
		before := len(b.stamps)
		b.shift = -25 * time.Second
		b.pass(60 * time.Second)
		stop()
		last := -1
		for _, s := range b.stamps {
			var ms int
			fmt.Sscan(s, &ms)
			if ms <= last {
				t.Errorf("time went back or stood: %v", b.stamps)
			}
			last = ms
		}
		if got := len(b.stamps) - before; got < 3 || got > 4 {
			t.Errorf("%d rounds in the 60 s after a step of 25 s back, want 3 or 4", got)
		}
		if b.jobs[0].state.skipped == 0 {
			t.Error("skipped ticks are not counted")
		}
	})
}

// The marker that ends a series comes after its newest sample, though the clock has gone back.
func TestSeriesEndAfterASmallStepBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run(Instance{Kind: "a", Probe: probeFunc(steady), Interval: 10 * time.Second})
		b.pass(35 * time.Second)
		b.shift = -25 * time.Second
		b.run()()
		var newest, end int
		n := len(b.stamps)
		fmt.Sscan(b.stamps[n-2], &newest)
		fmt.Sscan(b.stamps[n-1], &end)
		if b.lines[n-1] != "counted_total=stale" || end <= newest {
			t.Errorf("rounds at %v, the last is %s", b.stamps, b.lines[n-1])
		}
	})
}

func TestLargeStepsBeginNewEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		stop := b.run(Instance{Kind: "a", Probe: probeFunc(steady), Interval: 10 * time.Second})
		b.pass(15 * time.Second)
		first := b.epochs.told[0]
		b.shift = -time.Hour
		b.pass(10 * time.Second)
		stop()
		if got := b.Runner.clock.Steps(); got != 1 {
			t.Fatalf("%d steps, want 1", got)
		}
		last := b.epochs.last()
		if last.OriginMs-first.OriginMs != -3_600_000 || last.Epoch == first.Epoch || last.ShiftMs != 0 {
			t.Errorf("a step of an hour back leads from %+v to %+v", first, last)
		}
	})
}

func TestUnsetClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.shift = -30 * 365 * 24 * time.Hour
		stop := b.run(Instance{Kind: "a", Probe: probeFunc(steady), Interval: 10 * time.Second})
		b.pass(15 * time.Second)
		if len(b.stamps) < 2 || b.stamps[0] != "boot+3600000" {
			t.Fatalf("rounds of an unset clock: %v", b.stamps)
		}
		b.shift = 0
		b.pass(10 * time.Second)
		stop()
		// Times of an unset clock count from boot: an hour before the bench began.
		if got := b.epochs.last(); got.OriginMs != b.started.Add(-time.Hour).UnixMilli() || got.Boot != bootEpoch("boot") {
			t.Errorf("told %+v", got)
		}
	})
}

func BenchmarkRound(b *testing.B) {
	clock := NewClock(ClockParts{Proc: "/proc", Epochs: &keeper{}})
	samples := 0
	r := NewRunner(metric.NewTable(), clock, func(round metric.Round) { samples += len(round.Values) }, "host", slog.New(slog.DiscardHandler))
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	j := &job{Instance: Instance{Kind: "a", Interval: time.Second, Probe: probeFunc(func(_ context.Context, out *metric.Set) error {
		for i, n := range names {
			out.Add(tested, float64(i), n)
		}
		return nil
	})}, runner: r, set: metric.NewSet(r.table, SeriesLimit)}
	b.ReportAllocs()
	for b.Loop() {
		j.run(context.Background(), stamp{ms: int64(samples)})
	}
	b.ReportMetric(float64(samples)/b.Elapsed().Seconds(), "samples/s")
}
