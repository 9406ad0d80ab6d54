// Package e2e runs the real agent against real programs on loopback.
package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// agentBinary is what `make build` has built.
func agentBinary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("AGENT")
	if path == "" {
		path = "../build/headend-agent"
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	return path
}

// process is a started program. The test ends it.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	log  safeBuffer
	done chan struct{}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start runs a program until the test ends; what it prints is shown where the test fails.
func start(t testing.TB, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(name), cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%v: `e2e/install` installs what the tests need", err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text := p.log.String()
			t.Logf("what %s printed last:\n%s", p.name, text[max(0, len(text)-4000):])
		}
	})
	return p
}

// kill ends it at once.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// stop ends it in order and returns its exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.t.Errorf("%s has not ended 20 s after SIGTERM", p.name)
		p.kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

// free returns a loopback address that nobody listens on.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// eventually waits for f to return no error.
func eventually(t testing.TB, atMost time.Duration, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(atMost); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("still, after %s: %v", atMost, err)
}

func get(url string) (string, error) {
	c := http.Client{Timeout: 10 * time.Second}
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s: %s", url, r.Status, b)
	}
	return string(b), err
}

// agent is the agent with its pages at address.
type agent struct {
	*process
	address, config string
}

// startAgent runs the agent with a configuration; %s in it is a directory of the test's own.
func startAgent(t testing.TB, yaml string, flags ...string) *agent {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "agent.yml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(yaml, "%DIR%", dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	return restartAgent(t, file, flags...)
}

func restartAgent(t testing.TB, file string, flags ...string) *agent {
	t.Helper()
	a := &agent{address: free(t), config: file}
	a.process = start(t, agentBinary(t), append([]string{"run", "--config.file=" + file, "--web.listen-address=" + a.address}, flags...)...)
	eventually(t, time.Minute, func() error { _, err := get("http://" + a.address + "/-/ready"); return err })
	return a
}

// config is a configuration with an interval of a second, one destination, and lines of the destination's block.
func config(write string, lines ...string) string {
	c := "global: {interval: 1s}\nbuffer: {path: %DIR%/buffer}\nremote_write:\n- url: http://" + write + "\n  name: test\n  flush_interval: 1s\n"
	for _, l := range lines {
		c += "  " + l + "\n"
	}
	return c
}
