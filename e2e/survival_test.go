package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ignores tells whether a process ignores a signal, by proc_pid_status(5).
func ignores(pid int, signal syscall.Signal) error {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(status), "\nSigIgn:")
	mask, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	if n, err := strconv.ParseUint(mask, 16, 64); err != nil || n>>(signal-1)&1 == 0 {
		return fmt.Errorf("%v is not ignored: %s", signal, mask)
	}
	return nil
}

// A SIGHUP that comes while the agent starts does not end it, nor does a log that nobody reads any more.
func TestNothingButAStopEndsTheAgent(t *testing.T) {
	file, address := filepath.Join(t.TempDir(), "agent.yml"), free(t)
	yaml := "global: {interval: 1s}\nbuffer: {path: " + t.TempDir() + "}\nremote_write: [{url: \"http://" + free(t) + "/write\", flush_interval: 1s}]\n"
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(agentBinary(t), "run", "--config.file="+file, "--web.listen-address="+address)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	hangUp := func() {
		if err := c.Process.Signal(syscall.SIGHUP); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
	}
	// Go's runtime itself is ended by what comes before it is ready.
	eventually(t, 10*time.Second, func() error { return ignores(c.Process.Pid, syscall.SIGPIPE) })
	for range 20 {
		hangUp()
		time.Sleep(10 * time.Millisecond)
	}
	io.ReadFull(log, make([]byte, 100))
	log.Close()
	go func() { over <- c.Wait() }()
	for range 5 {
		hangUp() // it logs that it has read the configuration, and that nothing gets through
		time.Sleep(500 * time.Millisecond)
	}
	select {
	case err := <-over:
		t.Fatalf("the agent has ended: %v", err)
	default:
	}
	eventually(t, 30*time.Second, func() error { _, err := get("http://" + address + "/-/ready"); return err })
	c.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-over:
		if err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
	case <-time.After(30 * time.Second):
		c.Process.Kill()
		t.Error("the agent does not stop")
	}
}
