package probe

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/internal/metric"
)

func TestPartialFailureKeepsWhatTheRunAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var broken error
		p := probeFunc(func(_ context.Context, out *metric.Set) error {
			if broken != nil {
				out.Add(tested, 0, "up")
				return &Partial{broken}
			}
			out.Add(tested, 1, "up")
			out.Add(counted, 7)
			return nil
		})
		stop := b.run(Instance{Kind: "a", Probe: p, Interval: 10 * time.Second})
		defer stop()
		b.pass(5 * time.Second)
		broken = errors.New("the target is gone")
		b.pass(20 * time.Second)
		b.expect(`tested{n="up"}=1 counted_total=7`, `tested{n="up"}=0 counted_total=stale`, `tested{n="up"}=0`)
		if log := b.logged.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "the target is gone") {
			t.Errorf("the failure was logged as\n%s", log)
		}
	})
}

func TestEarlyEndsBeforeTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		early, done := Early(ctx)
		defer done()
		start := time.Now()
		<-early.Done()
		if took := time.Since(start); took != 8500*time.Millisecond {
			t.Errorf("a run of 9s was told to end after %v, want 8.5s", took)
		}
	})
}

func TestAskErrorsAreTheSameEveryTime(t *testing.T) {
	u := &url.Error{Op: "Get", URL: "http://h/?token=secret", Err: &net.OpError{Op: "read", Net: "tcp",
		Source: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 54321}, Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, Err: syscall.ECONNRESET}}
	if got := AskError(u); got.Error() != "read 127.0.0.1:80: connection reset by peer" || !errors.Is(got, syscall.ECONNRESET) {
		t.Errorf("got %q", got)
	}
}
