package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// vmScripts is where the scripts lie that make a virtual machine with systemd: not a part of the project. VM overrides it.
func vmScripts(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("VM")
	if dir == "" {
		dir = "../../shared/vm"
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("there is no virtual machine here (" + dir + "), and this needs a system of its own with systemd")
	}
	needRoot(t)
	return dir
}

var vmReady sync.Once

// machines bounds how many there are at a time: without a processor's help each takes most of one.
var machines = make(chan struct{}, 2)

// inVM runs one of these tests again, inside a virtual machine, with files beside it. With a disk, a file that is made where there is none,
// the machine boots from cold and keeps there what happens to it.
func inVM(t *testing.T, inside, disk string, files ...string) {
	t.Helper()
	scripts := vmScripts(t)
	vmReady.Do(func() { must(t, nil, scripts+"/prepare.sh") })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	prometheus, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "script")
	text := "cd /run/job && chmod +x e2e.test bin/* && INSIDE_VM=1 AGENT=bin/headend-agent PATH=$PWD/bin:$PATH ./e2e.test -test.v -test.timeout 15m -test.run '^" + inside + "$'\n"
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	machines <- struct{}{}
	defer func() { <-machines }()
	args := []string{"-t", "1000", "-s", script, "-f", self + ":e2e.test", "-f", prometheus + ":bin/prometheus"}
	for _, f := range files {
		args = append(args, "-f", f)
	}
	if disk != "" {
		args = append(args, "-d", disk, "-w")
	}
	start := time.Now()
	out, err := run(t, nil, scripts+"/run.sh", args...)
	t.Logf("in the virtual machine, %s:\n%s", time.Since(start).Round(time.Second), out)
	if err != nil {
		t.Error(err)
	}
	if !strings.Contains(out, "--- PASS: "+inside) {
		t.Errorf("%s has not passed inside", inside)
	}
}

// agentToo is the agent for inVM, where a test needs it and no more of its package.
func agentToo(t testing.TB) string { return agentBinary(t) + ":bin/headend-agent" }

// hurried is a configuration for an emulated machine, which has time for few probes in a hurry, of a destination that is down for long.
func hurried(write string, lines ...string) string {
	return strings.Replace(commitOften(config(write, lines...)), "interval: 1s}", "interval: 10s}", 1) +
		"probes:\n  loadavg: {interval: 2s}\n  memory: {interval: 2s}\n  agent: {interval: 2s}\n"
}

// insideVM skips what would harm any other machine.
func insideVM(t *testing.T) {
	if os.Getenv("INSIDE_VM") == "" {
		t.Skip("only inside the virtual machine; the test that has it run there is beside it")
	}
}
