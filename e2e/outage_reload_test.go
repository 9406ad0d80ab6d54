package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reload sends SIGHUP and waits until the agent has done what it asks for.
func (a *agent) reload(t testing.TB) {
	t.Helper()
	done := func() int { return strings.Count(a.log.String(), "configuration is reloaded") }
	before := done()
	a.cmd.Process.Signal(syscall.SIGHUP)
	eventually(t, 30*time.Second, func() error {
		if done() == before {
			return fmt.Errorf("SIGHUP has no effect")
		}
		return nil
	})
}

// commitOften makes the buffer write to disk each second while a destination is late.
func commitOften(yaml string) string {
	return strings.Replace(yaml, "/buffer}", "/buffer, commit_interval: 1s}", 1)
}

// The configuration is read again while the receiver is down, twice: what waits, on disk and in memory, is read again
// from where the senders before have left off.
func TestReloadsInAnOutage(t *testing.T) {
	t.Parallel()
	l := startLedger(t)
	a := startAgent(t, commitOften(config(l.address)))
	l.has(t, 2)
	l.stand(down)
	for range 2 {
		time.Sleep(6 * time.Second)
		a.reload(t)
	}
	time.Sleep(2 * time.Second)
	l.stand(nil)
	l.everyRoundOnce(t, 1)
}

// wide serves so many series whose values do not compress.
func wide(t testing.TB, series func(answer int) int) (url string) {
	answers := 0
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintln(w, "first", answers)
		for i := range series(answers) {
			fmt.Fprintf(w, "wide{n=\"%d\"} %v\n", i, rand.Float64())
		}
		answers++
	}))
	t.Cleanup(target.Close)
	return target.URL
}

// The same in a drain that is held back, with a receiver that is well: a batch is in a sender's hand most of the time.
func TestReloadInADrain(t *testing.T) {
	t.Parallel()
	const series, rounds = 4000, 25
	l := startLedger(t)
	target := wide(t, func(int) int { return series })
	a := startAgent(t, commitOften(config(l.address, "backlog_bytes_per_second: 8KiB"))+
		"probes:\n  scrape: [{job_name: wide, url: "+target+"}]\n")
	l.has(t, 2)
	l.stand(down)
	time.Sleep(rounds * time.Second)
	before := l.taken()
	l.stand(nil)
	eventually(t, time.Minute, func() error {
		if n := l.taken() - before; n < 10_000 {
			return fmt.Errorf("only %d samples have come since", n)
		}
		return nil
	})
	time.Sleep(time.Second)
	if points := l.rounds(t); time.Since(time.UnixMilli(points[len(points)-1].Ms)) < 5*time.Second {
		t.Skip("this machine is too busy for a reload before the drain is over")
	}
	a.reload(t)
	l.everyRoundOnce(t, 1)
	l.complete(t, "scrape", "first")
}
