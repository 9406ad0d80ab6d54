package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SIGHUP reads the file again; a file that is wrong changes nothing. SIGTERM ends with 0.
func TestSignals(t *testing.T) {
	prom := startPrometheus(t, "")
	a := startAgent(t, "global: {interval: 1s}\nbuffer: {path: %DIR%/buffer}\n")
	good, err := os.ReadFile(a.config)
	if err != nil {
		t.Fatal(err)
	}
	rewrite := func(text string) {
		if err := os.WriteFile(a.config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		a.cmd.Process.Signal(syscall.SIGHUP)
	}
	rewrite("globl: {}\n")
	eventually(t, 10*time.Second, func() error {
		if log := a.log.String(); !strings.Contains(log, `globl: unknown key; did you mean \"global\"?`) {
			return fmt.Errorf("no complaint in the log")
		}
		return nil
	})
	rewrite(string(good) + "remote_write: [{url: \"http://" + prom.write() + "\", flush_interval: 1s}]\n")
	eventually(t, 15*time.Second, func() error { _, err := one(prom.address, "node_load1"); return err })
	if code := a.stop(); code != 0 {
		t.Errorf("exit %d after SIGTERM", code)
	}
}
