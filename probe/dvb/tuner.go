package dvb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/probe/dvb/frontend"
)

// tuner is a frontend from one round to the next. At most one goroutine ever reads it.
type tuner struct {
	place
	log          *slog.Logger
	path, driver string
	port         int
	labels       [4]string // as in families.go

	name, systems string // as the frontend says
	identified    bool
	errors        [reasonCount]uint64

	pending chan reading // of the reading that is under way, nil while there is none
	cut     bool         // its round was cut short, by a reload

	// What this round has found.
	inUse, visible bool
	fresh          bool // the reading under way began in this round
	result         *reading
	why            string // there are no signal series; "" when there are
	trouble        string // the problem that has been logged; "" when there is none
}

// newTuner makes the tuner of a device that has not been seen before. It inherits the reading that hangs, if any, of
// the device that had its number.
func (p *dvb) newTuner(at place, before *tuner) *tuner {
	t := &tuner{place: at, log: p.env.Log.With("frontend", at.String())}
	t.path, t.driver = hardware(p.env.Sys, p.class(), at.Tuner)
	if before != nil {
		t.pending = before.pending
	}
	return t
}

// plug gives the tuner its adapter's position among those of the same device.
func (t *tuner) plug(port int) {
	t.port = port
	t.labels = [4]string{strconv.Itoa(t.Adapter), strconv.Itoa(t.Frontend), t.path, strconv.Itoa(port)}
}

// running tells whether a reading is under way, and forgets one that has come too late.
func (t *tuner) running() bool {
	select {
	case r := <-t.pending:
		t.take(r)
	default:
	}
	return t.pending != nil
}

// take ends a reading. A mistake of the program goes on where the runner sees it.
func (t *tuner) take(r reading) reading {
	t.pending = nil
	if r.panicked != "" {
		panic(r.panicked)
	}
	return r
}

// begin starts a reading if the frontend is in use.
func (t *tuner) begin(ctx context.Context, p *dvb, tuning map[string]string, visible bool, limit time.Duration) {
	comm := thread(t.Tuner)
	pid, inUse := tuning[comm]
	t.inUse, t.visible, t.result, t.fresh = inUse, visible, nil, false
	if !inUse || t.running() && !t.cut {
		return
	}
	s := session{
		open: p.open, path: filepath.Join(p.env.Dev, fmt.Sprintf("dvb/adapter%d/frontend%d", t.Adapter, t.Frontend)),
		identify: !t.identified, budget: limit, tuned: func() bool { return p.threads.comm(pid) == comm }, after: t.pending,
	}
	if t.pending == nil && !t.identified && heldByUs(p.env.Proc, s.path) {
		return // a call of a probe that the configuration had before
	}
	t.pending, t.fresh, t.cut = make(chan reading, 1), true, false
	go s.run(ctx, t.pending)
}

// heldByUs tells whether this process has a node open.
func heldByUs(proc, node string) bool {
	fds := filepath.Join(proc, "self/fd")
	entries, _ := os.ReadDir(fds)
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil && to == node {
			return true
		}
	}
	return false
}

// end waits for the reading until ctx ends, and judges it.
func (t *tuner) end(ctx context.Context) {
	if !t.inUse {
		t.why = hidden
		if t.visible {
			t.why = notInUse
			t.settle()
		}
		return
	}
	var r reading
	if r.err = errLate; t.fresh {
		r = t.wait(ctx)
	}
	if r.left {
		t.inUse, t.why = false, notInUse
		t.settle()
		return
	}
	if errors.Is(r.err, context.Canceled) {
		t.cut = t.pending != nil
		return // the agent stops, or reloads: no verdict
	}
	t.result = &r
	if r.info != nil {
		t.name, t.systems, t.identified = r.info.Name, join(r.systems), true
	}
	if r.err != nil {
		t.fail(r.err)
		return
	}
	t.settle()
	switch {
	case r.status == nil:
		t.why = asleep
	case *r.status&frontend.HasLock == 0:
		t.why = noLock
	default:
		t.why = ""
	}
}

// fail counts a reading that failed, and logs it when it is another problem than the last time.
func (t *tuner) fail(err error) {
	var cause reason
	cause, t.why = explain(err)
	t.errors[cause]++
	if text := err.Error(); text != t.trouble {
		t.trouble = text
		t.log.Warn("frontend cannot be read", "reason", reasons[cause], "error", text)
	}
}

// settle ends a problem.
func (t *tuner) settle() {
	if t.trouble != "" {
		t.trouble = ""
		t.log.Info("frontend can be read again, or is not in use any more")
	}
}

func (t *tuner) wait(ctx context.Context) reading {
	select {
	case r := <-t.pending:
		return t.take(r)
	case <-ctx.Done():
	}
	select {
	case r := <-t.pending: // both were ready
		return t.take(r)
	default:
	}
	if ctx.Err() == context.Canceled {
		return reading{err: context.Canceled}
	}
	return reading{err: errLate}
}

func join(systems []frontend.System) string {
	var names []string
	for _, s := range systems {
		if name := s.String(); name != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// add adds what the round has found.
func (t *tuner) add(out *metric.Set, card string) {
	t.sample(out, infoDesc, 1, t.name, t.driver, t.systems)
	if t.visible || t.inUse {
		t.sample(out, inUseDesc, flag(t.inUse))
	}
	if t.result != nil {
		t.addReading(out, t.result, card)
	}
	for i, n := range t.errors {
		t.sample(out, errorsDesc, float64(n), reasons[i])
	}
}

func (t *tuner) sample(out *metric.Set, d *metric.Desc, value float64, more ...string) {
	var values [8]string
	out.Add(d, value, append(append(values[:0], t.labels[:]...), more...)...)
}

func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
