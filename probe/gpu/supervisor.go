package gpu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"headend-agent/probe/gpu/nvmlchild"
)

// limits are the times and sizes of a supervisor.
type limits struct {
	start    time.Duration // for the library to load and find its devices: seconds, without persistence mode
	sample   time.Duration // for a report; well below the driver's own time-outs, which come in rows of 45 s
	step     time.Duration // between two ways to end a child
	patience time.Duration // of a round for the child before to go
	retry    time.Duration // until a driver that was not there is looked for again, if no kernel module comes before
	backoff  time.Duration // until a child that failed gets its first successor; doubled each time
	longest  time.Duration // and at most
	lost     time.Duration // until a child gets a successor because GPUs are lost: a new one may find them
	growth   uint64        // memory that a child may gain, bytes
}

func defaultLimits() limits {
	return limits{
		start: 30 * time.Second, sample: 10 * time.Second, step: 3 * time.Second, patience: time.Second, retry: 5 * time.Minute,
		backoff: time.Second, longest: 5 * time.Minute, lost: 10 * time.Minute, growth: 64 << 20,
	}
}

// Reasons for which a child ends.
var reasons = []string{"hang", "crash", "protocol", "memory", "driver", "lost", "release"}

// settled is how many reports a child has made when its memory has found its size.
const settled = 10

// supervisor keeps one child at work and replaces it, never by more than one: a child that the kernel does not let go has no
// successor.
type supervisor struct {
	start  func() (*process, error)
	kernel func() string // version of the loaded kernel module; "" while there is none
	limits limits
	log    *slog.Logger

	turn chan struct{} // holds a token while somebody uses what follows

	child     *process
	before    *process          // the child before, perhaps not gone yet
	hello     *nvmlchild.Report // the child's first; nil until then
	module    string            // kernel's when the child was started
	reports   int
	memory    uint64 // of the child when it had settled
	lostSince time.Time
	lostWait  time.Duration
	replaced  bool

	state     string
	cause     error     // why there is no child
	notBefore time.Time // of the next start
	failures  int       // in a row
	released  time.Time // until when the devices are to be left alone
	stopped   bool      // for good

	counts
}

func newSupervisor(start func() (*process, error), kernel func() string, l limits, log *slog.Logger) *supervisor {
	return &supervisor{
		start: start, kernel: kernel, limits: l, log: log, turn: make(chan struct{}, 1), state: "starting",
		lostWait: l.lost, counts: counts{restarts: map[string]uint64{}, errors: map[call]uint64{}, xids: map[xid]xidCount{}},
	}
}

var errReleased = errors.New("the devices are released on request")

// read returns what the driver says now. whole tells whether a report lacks none of the GPUs there should be.
func (s *supervisor) read(ctx context.Context, whole func(*nvmlchild.Report) bool) (*nvmlchild.Report, error) {
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	defer s.give()
	r, err := s.ask(ctx)
	if err != nil {
		return nil, err
	}
	s.state = "ok"
	s.reports++
	s.renew(r, whole(r))
	return r, nil
}

func (s *supervisor) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *supervisor) give() { <-s.turn }

// ask gets a report of a child, of a new one where there is none.
func (s *supervisor) ask(ctx context.Context) (*nvmlchild.Report, error) {
	if s.child == nil {
		if err := s.launch(ctx); err != nil {
			return nil, err
		}
	}
	if s.hello == nil {
		r, err := s.child.ask(ctx, s.limits.start)
		if err != nil {
			return nil, s.trouble(err, s.limits.start)
		}
		if r.Code != 0 {
			return nil, s.refused(r)
		}
		s.hello = r
	}
	if !s.child.since.IsZero() { // an answer that a round before did not wait for
		late, err := s.child.ask(ctx, s.limits.sample)
		if err != nil {
			return nil, s.trouble(err, s.limits.sample)
		}
		s.note(late)
	}
	r, err := s.child.ask(ctx, s.limits.sample)
	if err != nil {
		return nil, s.trouble(err, s.limits.sample)
	}
	s.note(r)
	return r, nil
}

// launch starts a child where it is time for one.
func (s *supervisor) launch(ctx context.Context) error {
	now, module := time.Now(), s.kernel()
	if s.stopped || now.Before(s.released) {
		s.state = "released"
		return errReleased
	}
	if now.Before(s.notBefore) && module == s.module {
		return s.cause
	}
	if s.before != nil {
		select {
		case <-s.before.done:
			s.before = nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(s.limits.patience):
			s.state = "stuck"
			return fmt.Errorf("process %d, which talked to NVIDIA's driver, has not ended yet", s.before.cmd.Process.Pid)
		}
	}
	p, err := s.start()
	if err != nil {
		s.later()
		s.state, s.cause = "error", err
		return err
	}
	s.child, s.hello, s.module, s.reports, s.memory, s.replaced = p, nil, module, 0, 0, false
	s.state = "starting"
	return nil
}

// refused notes that the library is not to be had. The child ends by itself; what it found will be found again only by a new one.
func (s *supervisor) refused(r *nvmlchild.Report) error {
	s.end()
	s.notBefore, s.failures = time.Now().Add(s.limits.retry), 0
	switch r.Code {
	case nvmlchild.CodeNoLibrary:
		s.state, s.cause = "absent", fmt.Errorf("there is no driver library: %s", r.Text)
	case nvmlchild.CodeNotLoaded:
		s.state, s.cause = "not_loaded", errors.New("NVIDIA's kernel module is not loaded")
	case nvmlchild.CodeMismatch:
		s.state, s.cause = "mismatch", fmt.Errorf("driver library and kernel module (%s) are of different releases: reboot, or reload the module", s.module)
	case nvmlchild.CodeNotBuilt:
		s.state, s.cause = "not_built", errors.New(r.Text)
	default:
		s.state, s.cause = "error", fmt.Errorf("NVIDIA's driver does not start: %s (code %d)", r.Text, r.Code)
	}
	return s.cause
}

// trouble judges why there is no answer.
func (s *supervisor) trouble(err error, limit time.Duration) error {
	switch {
	case errors.Is(err, errPending) && time.Since(s.child.since) < limit:
		if s.state != "starting" {
			s.state = "slow"
		}
		return fmt.Errorf("NVIDIA's driver: %w", err)
	case errors.Is(err, errPending):
		s.cause = fmt.Errorf("NVIDIA's driver has not answered for %s", limit)
		s.fail("hang")
	case errors.Is(err, errEnded):
		s.cause = fmt.Errorf("the process that talks to NVIDIA's driver has ended: %s", s.child.epitaph())
		s.fail("crash")
	default:
		s.cause = fmt.Errorf("the process that talks to NVIDIA's driver: %w", err)
		s.fail("protocol")
	}
	return s.cause
}

// fail gives a child up.
func (s *supervisor) fail(reason string) {
	s.state = reason
	s.restarts[reason]++
	if time.Since(s.child.started) > 2*s.limits.longest {
		s.failures = 0
	}
	s.end()
	s.later()
}

// later puts the next start off, the longer the more failures there were in a row.
func (s *supervisor) later() {
	wait := s.limits.longest
	if s.failures < 16 {
		wait = min(wait, s.limits.backoff<<s.failures)
	}
	s.failures++
	s.notBefore = time.Now().Add(wait)
}

func (s *supervisor) end() {
	s.child.end(s.limits.step)
	s.before, s.child = s.child, nil
}

// renew ends a healthy child whose successor would do better. The library it has loaded stays the one it was, whatever happens to
// the file, and goes on working for as long as the kernel module is the same.
func (s *supervisor) renew(r *nvmlchild.Report, whole bool) {
	if r.Replaced && !s.replaced {
		s.log.Warn("NVIDIA's driver library was replaced; the old one stays in use until the kernel module is another", "library", r.Library, "driver", r.Driver)
	}
	s.replaced = r.Replaced
	if whole {
		s.lostSince, s.lostWait = time.Time{}, s.limits.lost
	} else if s.lostSince.IsZero() {
		s.lostSince = time.Now()
	}
	if s.reports == settled {
		s.memory = r.RSS
	}
	reason, module := "", s.kernel()
	switch {
	case module != s.module && module != "":
		reason = "driver"
	case s.memory > 0 && r.RSS > s.memory+s.limits.growth:
		reason = "memory"
	case !whole && time.Since(s.lostSince) > s.lostWait:
		reason = "lost"
		s.lostSince, s.lostWait = time.Time{}, min(2*s.lostWait, 16*s.limits.lost)
	default:
		return
	}
	s.restarts[reason]++
	s.end()
	s.notBefore = time.Time{}
}

// release ends the child and leaves the devices alone for a while, so that a driver can be replaced or a GPU reset. It returns when the
// child is gone.
func (s *supervisor) release(ctx context.Context, d time.Duration) error {
	if err := s.take(ctx); err != nil {
		return fmt.Errorf("wait for NVIDIA's driver to answer: %w", err)
	}
	defer s.give()
	s.released = time.Now().Add(d)
	s.notBefore = time.Time{}
	if s.child != nil {
		s.restarts["release"]++
		s.end()
	}
	s.state = "released"
	s.log.Info("GPU devices are released on request", "for", d)
	if s.before == nil {
		return nil
	}
	select {
	case <-s.before.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("process %d, which talks to NVIDIA's driver, does not end: %w", s.before.cmd.Process.Pid, ctx.Err())
	}
}

// stop ends the child for good. It returns when the child is gone, or nothing more can be done about it: who ends before it may have it
// killed in the midst of closing its devices.
func (s *supervisor) stop() {
	s.turn <- struct{}{}
	defer s.give()
	s.stopped = true
	if s.child != nil {
		s.end()
	}
	if s.before != nil {
		select {
		case <-s.before.done:
		case <-time.After(3 * s.limits.step): // a signal after each of the first two
		}
	}
}
