package buffer

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// life is a machine, the agents on it, one after the other, and what is true of their rounds.
type life struct {
	*rig
	draw   func(n int) int
	d      *Reader
	runner *probe.Runner
	held   *metric.Batch // taken, neither acknowledged nor given back
	log    []string

	shift  time.Duration // of the wall clock, against the right time
	boot   int
	booted time.Time
	built  time.Time

	mu sync.Mutex
	// The truth, by the readings that were made of the clock.
	known    bool  // the clock was set at some reading of this boot
	base     int64 // wall clock minus time since boot at the newest of those, in milliseconds
	steps    int   // of this boot, that were corrected
	losses   int   // of records
	measured []*measured
	last     map[lifeSource]*measured // that were delivered
	kinds    lifeKinds
	clocked  uint64 // samples dropped because nobody knows their time, by buffers that are closed
}

// lifeKinds say what may happen in a life, for what is promised depends on it.
type lifeKinds struct {
	wal      bool // there is a WAL
	kill     bool // restarts are kills
	hours    bool // steps are of whole hours: without a WAL nobody knows what was read of the clock just before a kill
	powerCut bool // reboots are power cuts
	forget   bool // the record is lost at a restart, but no rounds are
}

type lifeSource struct {
	boot   int
	series metric.Labels
}

// measured is a round. Its value is its place in life.measured.
type measured struct {
	source   int
	boot     int
	mono     int64 // milliseconds since boot
	stamped  int64 // as the clock showed; 0 while it was not set
	ms       int64 // as today's clock would have shown
	was      []int64
	timed    bool // ms holds
	appended bool
	gone     int // times delivered
	losses   int // of records, before
	excused  bool
}

const unsetShift = -40 * 365 * 24 * time.Hour

func (l *life) say(format string, args ...any) {
	l.log = append(l.log, time.Since(l.built).String()+" "+fmt.Sprintf(format, args...))
}

func (l *life) fail(format string, args ...any) {
	l.t.Helper()
	for _, line := range l.log {
		l.t.Log(line)
	}
	l.t.Fatalf(format, args...)
}

func (l *life) now() time.Time { return time.Now().Add(l.shift) }

func (l *life) sinceBoot() time.Duration { return time.Since(l.booted) }

// read is the wall clock as the agent reads it. What it reads becomes the truth.
func (l *life) read() time.Time {
	now := l.now()
	if now.Before(l.built) {
		return now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	base := (time.Duration(now.UnixNano()) - l.sinceBoot()).Milliseconds()
	step := base - l.base
	if !l.known || step >= -60_000 && step <= 60_000 {
		step = 0
	}
	l.known, l.base = true, base
	if step != 0 {
		l.steps++
	}
	for _, m := range l.measured {
		switch {
		case m.boot != l.boot:
		case !m.timed:
			m.timed, m.ms = true, m.mono+base
		case step != 0:
			m.was = append(m.was, m.ms)
			m.ms += step
		}
	}
	return now
}

// Collect measures a round of source i.
func (l *life) collect(i int, delay time.Duration) probeFunc {
	return func(ctx context.Context, out *metric.Set) error {
		l.mu.Lock()
		m := &measured{source: i, boot: l.boot, mono: l.sinceBoot().Milliseconds(), losses: l.losses}
		if now := l.now(); !now.Before(l.built) {
			m.timed, m.ms = true, now.UnixMilli()
		} else if l.known {
			m.timed, m.ms = true, m.mono+l.base
		}
		m.stamped = m.ms
		out.Add(lifeDesc, float64(len(l.measured)), strconv.Itoa(i))
		l.measured = append(l.measured, m)
		l.mu.Unlock()
		select {
		case <-time.After(delay):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var lifeDesc = &metric.Desc{Name: "life", Type: metric.Gauge, Labels: []string{"source"}}

type probeFunc func(context.Context, *metric.Set) error

func (f probeFunc) Collect(ctx context.Context, out *metric.Set) error { return f(ctx, out) }

func (l *life) sink(r metric.Round) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range r.Values {
		m := l.measured[int(v)]
		m.appended = true
		if r.Unset && m.stamped != 0 {
			if !l.kinds.forget && !l.kinds.kill {
				l.fail("round %v has no time, though the clock was set before", v)
			}
			m.timed, m.stamped = false, 0
		}
	}
	l.b.Append(r)
}

// begin starts an agent.
func (l *life) begin() {
	l.open()
	l.d = l.b.Reader("a", Options{LateAfter: 20 * time.Second})
	clock := probe.NewClock(probe.ClockParts{
		Built: l.built, Epochs: l.b, BootID: strconv.Itoa(l.boot), Wall: l.read, SinceBoot: l.sinceBoot,
	})
	l.runner = probe.NewRunner(l.table, clock, l.sink, "host", slog.New(slog.DiscardHandler))
	l.runner.Apply(context.Background(), []probe.Instance{
		{Kind: "quick", Probe: l.collect(0, 0), Interval: 10 * time.Second},
		{Kind: "slow", Probe: l.collect(1, 1500*time.Millisecond), Interval: 7 * time.Second},
	})
}

// end ends the agent.
func (l *life) end(kill bool) {
	l.runner.Stop()
	l.clocked += l.b.Stats().Destinations["a"].Dropped["clock"]
	if l.held != nil {
		l.d.Fail(l.held, false)
		l.held = nil
	}
	if kill {
		if !l.kinds.wal {
			l.excuse(l.boot)
		}
		l.b.kill()
	} else if err := l.b.Close(); err != nil {
		l.fail("close: %v", err)
	}
	time.Sleep(time.Second)
}

// excuse lets the rounds that are not delivered be lost.
func (l *life) excuse(boot int) {
	for _, m := range l.measured {
		if m.boot == boot && m.gone == 0 {
			m.excused = true
		}
	}
}

// forget loses the record.
func (l *life) forget() {
	for name := range l.fs.(*memFS).files {
		if name[len(name)-len("cursors"):] == "cursors" {
			delete(l.fs.(*memFS).files, name)
		}
	}
	clear(l.last)
	for _, m := range l.measured {
		if m.ms = m.stamped; m.stamped == 0 {
			m.timed = false
		}
	}
	l.known = false
	l.losses++
}

// take reads a batch and, unless it is held, acknowledges it.
func (l *life) take(limit int, hold bool) bool {
	if l.held == nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		batch, err := l.d.Next(ctx, metric.Limit{Samples: limit})
		cancel()
		if err != nil {
			return false
		}
		l.held = batch
	}
	if hold {
		return true
	}
	batch := l.held
	l.held = nil
	select {
	case <-batch.Outdated:
		l.d.Fail(batch, false)
		return true
	default:
	}
	for _, s := range batch.Series {
		for _, p := range s.Points {
			l.got(s.Ref.Labels.Packed(), p)
		}
	}
	l.d.Ack(batch, metric.Outcome{Delivered: batch.Count})
	return true
}

func (l *life) got(series metric.Labels, p metric.Point) {
	l.t.Helper()
	m := l.measured[int(p.Value)]
	m.gone++
	switch {
	case !m.appended:
		l.fail("round %v was never appended", p.Value)
	case !m.timed:
		l.fail("round %v is sent with the time %s, which nobody knows", p.Value, time.UnixMilli(p.TimeMs))
	case p.TimeMs != m.ms && !(l.kinds.powerCut && m.boot != l.boot && slices.Contains(m.was, p.TimeMs)):
		l.fail("round %v is sent with a time that is wrong by %d ms: %+v", p.Value, p.TimeMs-m.ms, *m)
	case m.gone > 1 && !l.kinds.forget && !l.kinds.kill && !l.kinds.powerCut:
		l.fail("round %v is sent %d times", p.Value, m.gone)
	}
	source := lifeSource{m.boot, series}
	before := l.last[source]
	if before != nil && before.ms >= m.ms && m.gone == 1 && before.losses == l.losses && m.losses == l.losses {
		l.fail("round %v is not after the one before it: %+v, %+v", p.Value, *before, *m)
	}
	l.last[source] = m
}

// event lets something happen.
func (l *life) event() {
	switch l.draw(16) {
	case 0, 1, 2:
		d := time.Duration(1+l.draw(60)) * time.Second
		if l.kinds.hours {
			d = time.Duration(1+l.draw(48)) * time.Hour
		}
		if l.draw(2) == 0 {
			d = -d
		}
		l.shift += d
		l.say("a step by %s", d)
	case 3, 4, 5:
		if l.kinds.forget && l.steps > 12 {
			return
		}
		d := time.Duration(1+l.draw(48)) * time.Hour
		if !l.kinds.hours && l.draw(3) == 0 {
			d = time.Duration(55+l.draw(100)) * time.Second
		}
		if l.draw(2) == 0 {
			d = -d
		}
		if l.shift += d; l.shift < -500*time.Hour {
			l.shift = 0
		}
		l.say("a step by %s", d)
	case 6:
		l.shift = unsetShift
		l.say("the clock is set to nothing")
	case 7:
		if l.kinds.forget && l.steps > 12 {
			return
		}
		l.shift = 0
		l.say("the clock is set right")
	case 8, 9:
		hold := l.draw(3) == 0
		l.take(1+l.draw(12), hold)
	case 10:
		l.commit()
	case 11, 12:
		d := time.Duration(1+l.draw(90)) * time.Second
		l.say("the agent starts again after %s", d)
		l.end(l.kinds.kill)
		if l.kinds.forget && l.draw(2) == 0 {
			l.say("the record is lost")
			l.forget()
		}
		time.Sleep(d)
		if l.kinds.kill && !l.kinds.wal && l.shift == unsetShift {
			l.shift = 0 // else nobody could know of the last readings before the kill
		}
		l.begin()
	case 13:
		if l.draw(2) == 0 {
			l.reboot()
		}
	}
	if l.shift < -500*time.Hour && l.shift != unsetShift {
		l.shift = unsetShift
	}
	time.Sleep(time.Duration(l.draw(40)) * time.Second)
	synctest.Wait()
}

func (l *life) reboot() {
	l.say("reboot")
	if l.kinds.powerCut {
		l.runner.Stop()
		l.clocked += l.b.Stats().Destinations["a"].Dropped["clock"]
		l.excuse(l.boot)
		l.held = nil
		after := l.fs.(*memFS).crash(rand.New(rand.NewPCG(uint64(l.draw(256)), 1)))
		l.b.kill()
		l.fs = after
	} else {
		l.end(false)
		for name := range l.fs.(*memFS).files {
			if name[:5] == "/run/" {
				delete(l.fs.(*memFS).files, name)
			}
		}
	}
	l.boot++
	l.known, l.steps, l.booted = false, 0, time.Now()
	l.shift = []time.Duration{0, 0, 24 * time.Hour, -24 * time.Hour, unsetShift, unsetShift}[l.draw(6)]
	l.begin()
}

// live lets a life of so many events pass, and looks whether every round came.
func (l *life) live(events int) {
	l.built, l.booted = time.Now(), time.Now().Add(-time.Hour)
	time.Sleep(1000 * time.Hour)
	l.shift = []time.Duration{0, unsetShift, 24 * time.Hour}[l.draw(3)]
	l.begin()
	for range events {
		l.event()
	}
	l.shift = 0
	time.Sleep(30 * time.Second)
	l.say("the end")
	for range 10_000 {
		if n, _ := l.d.Pending(); n == 0 {
			break
		}
		l.take(1+l.draw(500), false)
	}
	lost := uint64(0)
	for i, m := range l.measured {
		if m.appended && m.gone == 0 && !m.excused {
			if m.timed {
				l.fail("round %d of boot %d did not come: %+v, %+v", i, m.boot, *m, l.b.Stats().Destinations["a"])
			}
			lost++
		}
	}
	counted := l.clocked + l.b.Stats().Destinations["a"].Dropped["clock"]
	if counted < lost || counted > lost && !l.kinds.forget && !l.kinds.kill && !l.kinds.powerCut {
		l.fail("%d rounds of unset clocks are lost, %d counted", lost, counted)
	}
	l.runner.Stop()
	l.b.Close()
}

func newLife(t *testing.T, kinds lifeKinds, draw func(int) int) *life {
	runtime := ""
	if kinds.wal {
		runtime = "/run"
	}
	r := &rig{t: t, fs: newMemFS(), cfg: smallConfig("/disk"), runtime: runtime, table: metric.NewTable()}
	return &life{rig: r, kinds: kinds, draw: draw, last: map[lifeSource]*measured{}}
}

var lives = map[string]lifeKinds{
	"orderly":            {},
	"orderly with a WAL": {wal: true},
	"killed":             {kill: true, hours: true},
	"killed with a WAL":  {wal: true, kill: true},
	"power cuts":         {wal: true, powerCut: true},
	"lost records":       {wal: true, kill: true, forget: true},
}

// TestAnySequenceOfSteps proves what metric.Timebase promises, against a model that knows the truth.
func TestAnySequenceOfSteps(t *testing.T) {
	for name, kinds := range lives {
		t.Run(name, func(t *testing.T) {
			for seed := range trials(t, 30) {
				ok := t.Run(strconv.Itoa(seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := rand.New(rand.NewPCG(uint64(seed), 14))
						newLife(t, kinds, r.IntN).live(40)
					})
				})
				if !ok {
					return
				}
			}
		})
	}
}

// FuzzSteps lets the fuzzer write the lives.
func FuzzSteps(f *testing.F) {
	kinds := slices.Sorted(maps.Keys(lives))
	r := rand.NewChaCha8([32]byte{})
	for i := range kinds {
		script := make([]byte, 200)
		r.Read(script)
		f.Add(byte(i), script)
	}
	f.Fuzz(func(t *testing.T, kind byte, script []byte) {
		events := min(len(script)/3, 100)
		draw := func(n int) int {
			if len(script) == 0 {
				return 0
			}
			d := int(script[0]) % n
			script = script[1:]
			return d
		}
		synctest.Test(t, func(t *testing.T) { newLife(t, lives[kinds[int(kind)%len(kinds)]], draw).live(events) })
	})
}
