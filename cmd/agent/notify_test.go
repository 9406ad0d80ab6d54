package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
	if r.reload(t.Context()) == nil {
		t.Error("a wrong configuration is accepted")
	}
	if got := m.expect("RELOADING=1"); !strings.Contains(got, "\nMONOTONIC_USEC=") {
		t.Errorf("%q", got)
	}
	m.expect("READY=1\nSTATUS=Probing; pushing to main")
	r.configure("")
	if err := r.reload(t.Context()); err != nil {
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
