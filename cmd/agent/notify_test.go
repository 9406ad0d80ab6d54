package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/internal/metric"
)

// manager is systemd's end of the notification socket.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func listenAsSystemd(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &manager{t, c}
}

// expect reads messages until one begins so, and returns it. Those of the watchdog may come at any time.
func (m *manager) expect(state string) string {
	m.t.Helper()
	b := make([]byte, 4096)
	for {
		m.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := m.conn.Read(b)
		if err != nil {
			m.t.Fatalf("waiting for %s: %v", state, err)
		}
		switch got := string(b[:n]); {
		case strings.HasPrefix(got, state):
			return got
		case got != "WATCHDOG=1":
			m.t.Fatalf("systemd is told %q instead of %s", got, state)
		}
	}
}

// systemd learns that the agent is ready though its receiver is not there, that it lives, reloads and stops.
func TestSystemdIsTold(t *testing.T) {
	m := listenAsSystemd(t)
	t.Setenv("WATCHDOG_USEC", "200000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	yaml := "remote_write: [{url: 'http://127.0.0.1:1/', name: main}]\n"
	r := runAgent(t, yaml)
	if got := m.expect("READY=1"); !strings.Contains(got, "STATUS=Probing; pushing to main") {
		t.Errorf("%q", got)
	}
	m.expect("WATCHDOG=1")
	r.configure("remote_write: 7\n")
	if r.reload() == nil {
		t.Error("a wrong configuration is accepted")
	}
	if got := m.expect("RELOADING=1"); !strings.Contains(got, "\nMONOTONIC_USEC=") {
		t.Errorf("%q", got)
	}
	m.expect("READY=1\nSTATUS=Probing; pushing to main")
	r.configure("")
	if err := r.reload(); err != nil {
		t.Error(err)
	}
	m.expect("RELOADING=1")
	m.expect("READY=1\nSTATUS=Probing; nowhere to send")
	m.expect("WATCHDOG=1")
	r.stop()
	m.expect("STOPPING=1")
}

// The watchdog goes hungry while a part is stuck.
func TestWatchdogIsFedOnlyWhileAllPartsMove(t *testing.T) {
	m := listenAsSystemd(t)
	out := &logs{}
	n := newNotifier(slog.New(slog.NewTextHandler(out, nil)))
	if n.due() != nil {
		t.Error("a watchdog is fed that does not watch")
	}
	n.feed("")
	m.expect("WATCHDOG=1")
	n.feed("sender main")
	n.feed("sender main")
	n.stopping()
	m.expect("STOPPING=1")
	if text := out.String(); strings.Count(text, "part=\"sender main\"") != 1 {
		t.Errorf("logged:\n%s", text)
	}
}

// waiting is a source with samples that nobody fetches.
type waiting struct {
	samples int
	since   time.Time
}

func (w *waiting) Pending() (int, time.Duration) { return w.samples, time.Since(w.since) }
func (w *waiting) Next(context.Context, metric.Limit) (*metric.Batch, error) {
	time.Sleep(time.Hour)
	return nil, context.Canceled
}
func (w *waiting) Ack(*metric.Batch, metric.Outcome) {}
func (w *waiting) Fail(*metric.Batch, bool)          {}
func (w *waiting) Note() string                      { return "" }
func (w *waiting) SetNote(string)                    {}

func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &waiting{since: time.Now()}
		p := newPulse("main", source, time.Second)
		idle := func(want time.Duration, when string) {
			t.Helper()
			if got := p.idle(); got != want {
				t.Errorf("%s: idle for %s, want %s", when, got, want)
			}
		}
		p.Next(t.Context(), metric.Limit{})
		idle(0, "nothing waits")
		source.samples, source.since = 5, time.Now()
		time.Sleep(time.Minute)
		idle(time.Minute, "samples wait")
		p.Fail(nil, false)
		idle(0, "an attempt failed")
		time.Sleep(time.Hour)
		source.since = time.Now().Add(-time.Second)
		idle(time.Second, "the samples came after a long silence")
		p.Ack(nil, metric.Outcome{})
		idle(0, "acknowledged")
	})
}
