package gpu

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"headend-agent/probe/gpu/nvmlchild"
)

// supervised is a supervisor of scripted children.
type supervised struct {
	*supervisor
	t       *testing.T
	mode    string
	kernel  string
	started []*process
}

func supervise(t *testing.T, mode string, change func(*limits)) *supervised {
	s := &supervised{t: t, mode: mode, kernel: "550.54.14"}
	l := defaultLimits()
	l.backoff, l.longest, l.patience = 0, 0, 20*time.Second
	if change != nil {
		change(&l)
	}
	start := func() (*process, error) {
		p, err := startProcess("--scripted=" + s.mode)
		if err == nil {
			s.started = append(s.started, p)
		}
		return p, err
	}
	s.supervisor = newSupervisor(start, func() string { return s.kernel }, l, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		s.stop()
		for _, p := range s.started {
			p.cmd.Process.Kill()
			<-p.done
		}
	})
	return s
}

func whole(*nvmlchild.Report) bool { return true }

func (s *supervised) round() (*nvmlchild.Report, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return s.read(ctx, whole)
}

// until reads until a report comes.
func (s *supervised) until() *nvmlchild.Report {
	s.t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var r *nvmlchild.Report
		if r, err = s.round(); err == nil {
			return r
		}
	}
	s.t.Fatalf("no report in 20 s: %v", err)
	return nil
}

func (s *supervised) expect(state, text string, err error) {
	s.t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) || s.state != state {
		s.t.Errorf("state %s, error %v; want %s, %q", s.state, err, state, text)
	}
}

func TestOneChildServesManyRounds(t *testing.T) {
	s := supervise(t, "ok", nil)
	for range 20 {
		if r, err := s.round(); err != nil || r.GPUs[0].Readings["enc"] != 7 {
			t.Fatalf("%v, %v", r, err)
		}
	}
	if len(s.started) != 1 || s.state != "ok" {
		t.Errorf("%d children, state %s", len(s.started), s.state)
	}
}

// Each misbehaviour costs the round, is counted, and is over with the next child.
func TestMisbehavingChildIsReplaced(t *testing.T) {
	for _, c := range []struct{ mode, reason, text string }{
		{"crash", "crash", "exit status 127: symbol lookup error: nvmlNothing"},
		{"garbage", "protocol", "malformed answer"},
		{"huge", "protocol", "4294967295 bytes"},
		{"deaf", "hang", "has not answered for 200ms"},
		{"slow:3600000", "hang", "has not answered for 200ms"},
	} {
		t.Run(c.mode, func(t *testing.T) {
			s := supervise(t, c.mode, func(l *limits) {
				l.start, l.sample, l.step = 200*time.Millisecond, 200*time.Millisecond, 50*time.Millisecond
			})
			if !strings.HasPrefix(c.mode, "slow") && c.mode != "deaf" {
				s.limits.start, s.limits.sample = time.Minute, time.Minute
			} else if c.mode != "deaf" {
				s.limits.start = time.Minute
			}
			_, err := s.round()
			s.expect(c.reason, c.text, err)
			s.mode, s.limits.start, s.limits.sample = "ok", time.Minute, time.Minute
			s.until()
			if s.restarts[c.reason] != 1 || len(s.started) != 2 {
				t.Errorf("counted %v, %d children; want one %s and 2", s.restarts, len(s.started), c.reason)
			}
			select {
			case <-s.started[0].done:
			default:
				t.Error("a second child was started before the first was gone")
			}
		})
	}
}

func TestChildThatTheKernelKeepsHasNoSuccessor(t *testing.T) {
	s := supervise(t, "deaf", func(l *limits) { l.start, l.step, l.patience = 100*time.Millisecond, time.Hour, 50*time.Millisecond })
	_, err := s.round()
	s.expect("hang", "has not answered", err)
	s.mode = "ok"
	for range 2 {
		_, err = s.round()
		s.expect("stuck", "has not ended yet", err)
	}
	if len(s.started) != 1 {
		t.Fatalf("%d children", len(s.started))
	}
	s.started[0].cmd.Process.Kill()
	<-s.started[0].done
	s.until()
}

// The stop waits for a child that ends in order, and no longer for one that the kernel does not let go than anything may help.
func TestStopGivesUp(t *testing.T) {
	s := newSupervisor(nil, func() string { return "" }, limits{step: 10 * time.Millisecond}, slog.New(slog.DiscardHandler))
	s.before = &process{done: make(chan struct{})}
	s.stop()
	if _, err := s.read(context.Background(), whole); !errors.Is(err, errReleased) {
		t.Errorf("a stopped supervisor says %v", err)
	}
}

// A round that is over before the answer has come is no reason to end the child: the next gets a fresh answer. What the late one told
// once only is not lost.
func TestSlowAnswerOutlivesItsRound(t *testing.T) {
	s := supervise(t, "slow:300", nil)
	s.until()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := s.read(ctx, whole)
	if !errors.Is(err, errPending) {
		t.Fatalf("error %v, want %v", err, errPending)
	}
	s.until()
	if len(s.started) != 1 || s.restarts["hang"] != 0 {
		t.Errorf("%d children, %v", len(s.started), s.restarts)
	}
	if x, e := s.xids[xid{"0000:3b:00.0", 79}].n, s.errors[call{"GetFanSpeed", 999}]; x != 3 || e != 3 {
		t.Errorf("counted %d XIDs and %d errors of three answers", x, e)
	}
}

func TestRefusedStart(t *testing.T) {
	for code, want := range map[string]string{"12": "absent", "9": "not_loaded", "18": "mismatch", "-1": "not_built", "999": "error"} {
		s := supervise(t, "refuse:"+code, nil)
		for range 3 {
			if _, err := s.round(); err == nil || s.state != want {
				t.Errorf("code %s: state %s (%v), want %s", code, s.state, err, want)
			}
		}
		if len(s.started) != 1 {
			t.Errorf("code %s: %d tries within a minute", code, len(s.started))
		}
		s.mode, s.kernel = "ok", "560.28.03" // a module that was loaded is tried at once
		s.until()
	}
}

func TestBackoffGrows(t *testing.T) {
	s := supervise(t, "crash", func(l *limits) { l.backoff, l.longest = time.Minute, 5*time.Minute })
	s.round()
	for i, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
		if got := time.Until(s.notBefore); got > want || got < want-30*time.Second {
			t.Errorf("after failure %d: %s, want %s", i, got, want)
		}
		first := len(s.started)
		if _, err := s.round(); err == nil || len(s.started) != first {
			t.Errorf("a child was started before its time")
		}
		<-s.before.done
		s.notBefore = time.Time{}
		s.round()
	}
	s.mode, s.notBefore = "ok", time.Time{}
	s.until()
	s.child.started = time.Now().Add(-time.Hour) // one that has worked that long begins anew
	s.child.cmd.Process.Kill()
	s.round()
	if got := time.Until(s.notBefore); got > time.Minute {
		t.Errorf("after an hour without a failure: %s, want a minute", got)
	}
}

func TestGrowingChildIsRecycled(t *testing.T) {
	s := supervise(t, "leak", func(l *limits) { l.growth = 10 << 20 })
	for i := range settled + 11 {
		if r, err := s.round(); err != nil || r == nil {
			t.Fatalf("round %d: %v: a recycled child must not cost a round", i, err)
		}
	}
	s.until()
	if s.restarts["memory"] != 1 || len(s.started) != 2 {
		t.Errorf("%v, %d children", s.restarts, len(s.started))
	}
}

func TestAnotherKernelModuleGetsAnotherChild(t *testing.T) {
	s := supervise(t, "ok", nil)
	s.until()
	s.kernel = "560.28.03"
	s.until()
	s.until()
	if s.restarts["driver"] != 1 || len(s.started) != 2 {
		t.Errorf("%v, %d children", s.restarts, len(s.started))
	}
}

func TestLostGPUGetsOneNewChildAWhile(t *testing.T) {
	s := supervise(t, "ok", func(l *limits) { l.lost = time.Hour })
	lacking := func(*nvmlchild.Report) bool { return false }
	for range 5 {
		s.read(context.Background(), lacking)
	}
	if s.restarts["lost"] != 0 {
		t.Fatal("recycled at once")
	}
	s.lostSince = time.Now().Add(-2 * time.Hour)
	s.read(context.Background(), lacking)
	s.lostSince = time.Now().Add(-90 * time.Minute) // the next only after two hours
	for range 5 {
		s.read(context.Background(), lacking)
	}
	if s.restarts["lost"] != 1 {
		t.Errorf("%v", s.restarts)
	}
	s.until()
	if s.lostWait != time.Hour {
		t.Errorf("wait is %s after all GPUs were there again", s.lostWait)
	}
}

func TestReleaseEndsTheChildAndKeepsAway(t *testing.T) {
	s := supervise(t, "ok", nil)
	s.until()
	if err := s.release(context.Background(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.started[0].cmd.Process.Pid, 0); err != syscall.ESRCH {
		t.Errorf("the child is still there: %v", err)
	}
	if code := s.started[0].cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the child did not end in order: %d", code)
	}
	for range 3 {
		if _, err := s.round(); !errors.Is(err, errReleased) || s.state != "released" {
			t.Errorf("%v, state %s", err, s.state)
		}
	}
	if err := s.release(context.Background(), 0); err != nil { // takes it back
		t.Fatal(err)
	}
	s.until()
	if len(s.started) != 2 || s.restarts["release"] != 1 {
		t.Errorf("%d children, %v", len(s.started), s.restarts)
	}
}
