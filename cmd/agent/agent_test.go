package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"headend-agent/internal/receiver"
)

// logs collects what the agent logs.
type logs struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is an agent in this process, with its configuration in a file.
type running struct {
	*agent
	t    *testing.T
	file string
	logs *logs
	stop func()
}

// runAgent starts an agent on a configuration and stops it when the test ends.
func runAgent(t *testing.T, yaml string, flags ...string) *running {
	t.Helper()
	r := &running{t: t, file: filepath.Join(t.TempDir(), "agent.yml"), logs: &logs{}}
	r.configure(yaml)
	var o options
	if _, err := o.parse("run", append([]string{"--config.file=" + r.file, "--web.listen-address=127.0.0.1:0"}, flags...), io.Discard); err != nil {
		t.Fatal(err)
	}
	cfg, err := o.config()
	if err != nil {
		t.Fatal(err)
	}
	if r.agent, err = newAgent(&o, cfg, slog.New(slog.NewTextHandler(r.logs, nil))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.run(ctx, nil); close(done) }()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Log(r.logs)
		}
	})
	return r
}

func (r *running) configure(yaml string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte("buffer: {path: "+filepath.Dir(r.file)+"/buffer}\n"+yaml), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// page gets one of the agent's pages.
func (r *running) page(method, path string) (status int, body string) {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://"+r.web.Address()+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

const fast = `
global: {interval: 1s, external_labels: {site: "${SITE}"}}
remote_write:
- {url: "%s/api/v1/write", name: test, flush_interval: 1s, remote_timeout: 1s}
`

// A receiver that answers garbage, hangs, or hangs up costs a retry: nothing is lost, nothing comes twice.
func TestReceiverThatMisbehaves(t *testing.T) {
	t.Setenv("SITE", "msk-1")
	sink := &receiver.Receiver{}
	misdeeds := []http.HandlerFunc{
		func(w http.ResponseWriter, r *http.Request) { hijack(w, "garbage\x00\xff\r\n\r\n") },
		func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() },
		func(w http.ResponseWriter, r *http.Request) { hijack(w, "HTTP/1.1 200 OK\r\nContent-Le") },
		func(w http.ResponseWriter, r *http.Request) { hijack(w, "") },
		func(w http.ResponseWriter, r *http.Request) { http.Error(w, "later", http.StatusServiceUnavailable) },
	}
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls < len(misdeeds) {
			calls++
			misdeeds[calls-1](w, r)
			return
		}
		sink.ServeHTTP(w, r)
	}))
	defer server.Close()
	r := runAgent(t, fmt.Sprintf(fast, server.URL))
	if !sink.Wait(30*time.Second, func(x receiver.Totals) bool { return x.Requests > 2 }) {
		t.Fatal("nothing arrives after the receiver has come to its senses")
	}
	for end := time.Now().Add(time.Minute); r.buffer.Stats().Destinations["test"].Pending > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond) // requests have become smaller: the backlog takes some of them
	}
	r.stop()
	stats := r.buffer.Stats()
	d := stats.Destinations["test"]
	if got := sink.Totals().Samples; uint64(got) != stats.Appended || d.Delivered != stats.Appended || d.Pending != 0 {
		t.Errorf("%d samples appended, %d counted as delivered, %d pending; the receiver has %d", stats.Appended, d.Delivered, d.Pending, got)
	}
	if n := len(sink.Find(`__name__="node_load1"`, `job="headend"`, `site="msk-1"`)); n != 1 {
		t.Errorf("%d series node_load1 with the external labels, want 1", n)
	}
}

// hijack answers with raw bytes and hangs up.
func hijack(w http.ResponseWriter, answer string) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	io.WriteString(c, answer)
	c.Close()
}

func TestPages(t *testing.T) {
	r := runAgent(t, "global: {interval: 1s}\n")
	eventually(t, func() error {
		if _, text := r.page("GET", "/metrics"); !strings.Contains(text, "\nnode_load1 ") || !strings.Contains(text, `headend_agent_probe_success{probe="loadavg"} 1`) {
			return fmt.Errorf("metrics:\n%s", text)
		}
		return nil
	})
	for path, want := range map[string]string{"/": "samples can only be pulled from /metrics", "/api/v1/status": `"name":"loadavg"`, "/flussonic/api/metrics": "\nnode_load1 ", "/-/healthy": "healthy", "/-/ready": "ready"} {
		if status, text := r.page("GET", path); status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: %d\n%s", path, status, text)
		}
	}
	if status, text := r.page("POST", "/-/reload"); status != 403 || !strings.Contains(text, "--web.enable-lifecycle") {
		t.Errorf("reload without its flag: %d %s", status, text)
	}
	if !strings.Contains(r.logs.String(), "nowhere to send") {
		t.Error("no word about there being no destination")
	}
}

// A reload brings a new configuration into force and keeps the old one where the new one is wrong. No sample is lost over it.
func TestReload(t *testing.T) {
	sink := &receiver.Receiver{}
	server := httptest.NewServer(sink)
	defer server.Close()
	yaml := fmt.Sprintf(fast, server.URL)
	r := runAgent(t, yaml, "--web.enable-lifecycle")
	if !sink.Wait(20*time.Second, func(x receiver.Totals) bool { return x.Requests > 1 }) {
		t.Fatal("nothing arrives")
	}
	r.configure("probes: {loadavg: 7}\n")
	if status, text := r.page("POST", "/-/reload"); status != 500 || !strings.Contains(text, "agent.yml:2: probes.loadavg: ") {
		t.Errorf("reload of a wrong file: %d %s", status, text)
	}
	has := func(sample string) func() error {
		return func() error {
			if _, text := r.page("GET", "/metrics"); !strings.Contains(text, sample) {
				return fmt.Errorf("no %s on the page", sample)
			}
			return nil
		}
	}
	eventually(t, has("\nheadend_agent_config_last_reload_successful 0\n"))
	r.configure(yaml + "probes: {loadavg: {enabled: false}}\n")
	if status, text := r.page("POST", "/-/reload"); status != 200 {
		t.Errorf("reload: %d %s", status, text)
	}
	eventually(t, has("\nheadend_agent_config_last_reload_successful 1\n"))
	if _, text := r.page("GET", "/metrics"); strings.Contains(text, "node_load1 ") {
		t.Error("a probe that is switched off is still on the page")
	}
	r.stop()
	if stats := r.buffer.Stats(); uint64(sink.Totals().Samples) != stats.Appended {
		t.Errorf("%d samples appended, the receiver has %d", stats.Appended, sink.Totals().Samples)
	}
	for series, last := range sink.Find(`__name__="node_load1"`) {
		if last.Value == last.Value {
			t.Errorf("%s did not end in a stale marker but in %v", series, last.Value)
		}
	}
}

// Whoever asks for a reload gets an answer, also while the agent stops, and waits no longer than he wants to.
func TestReloadThatNobodyHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &agent{reloads: make(chan chan error), over: make(chan struct{})} // its loop is busy
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.reload(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("gave up with %v", err)
		}
		close(a.over)
		if err := a.reload(t.Context()); !errors.Is(err, errStopping) {
			t.Errorf("a stopping agent says %v", err)
		}
	})
}

// A file of the configuration that cannot be read, and does not fail either, keeps neither the old configuration from
// working nor the agent from stopping.
func TestReloadOfAFileThatHangs(t *testing.T) {
	r := runAgent(t, "")
	if err := os.Remove(r.opts.configFile); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(r.opts.configFile, 0o600); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	go func() { answer <- r.reload(t.Context()) }()
	time.Sleep(100 * time.Millisecond)
	if status, _ := r.page("GET", "/metrics"); status != 200 {
		t.Errorf("the page says %d", status)
	}
	begin := time.Now()
	r.stop()
	if took := time.Since(begin); took > readTime {
		t.Errorf("the stop took %v", took)
	}
	if err := <-answer; !errors.Is(err, errStopping) {
		t.Errorf("the reload says %v", err)
	}
	if w, err := os.OpenFile(r.opts.configFile, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil { // lets go of who reads
		w.Close()
	}
}

// A /proc that is damaged costs the series of the probes that read it, and a counter.
func TestDamagedProc(t *testing.T) {
	proc := t.TempDir()
	if err := os.WriteFile(filepath.Join(proc, "loadavg"), []byte("high\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := runAgent(t, "global: {interval: 1s}\n", "--path.procfs="+proc, "--path.sysfs="+proc+"/nowhere")
	eventually(t, func() error {
		_, text := r.page("GET", "/metrics")
		for _, want := range []string{`headend_agent_probe_success{probe="loadavg"} 0`, `headend_agent_probe_success{probe="nvme"} 0`, `headend_agent_probe_success{probe="uname"} 1`, "\nnode_uname_info{"} {
			if !strings.Contains(text, want) {
				return fmt.Errorf("no %s in\n%s", want, text)
			}
		}
		return nil
	})
}

// The demo says what arrives, and where the pages are, within seconds.
func TestDemo(t *testing.T) {
	var out logs
	done := make(chan int)
	go func() { done <- dispatch([]string{"demo", "--web.listen-address=127.0.0.1:0"}, &out, io.Discard) }()
	eventually(t, func() error {
		text := out.String()
		if !strings.Contains(text, "/metrics") || !strings.Contains(text, "remote write 2.0") {
			return fmt.Errorf("the demo says\n%s", text)
		}
		return nil
	})
	p, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	p.Signal(os.Interrupt)
	if code := <-done; code != 0 {
		t.Errorf("exit %d", code)
	}
}

func eventually(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Error(err)
}
