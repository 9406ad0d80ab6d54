package e2e

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// inNamespace runs one of these tests again, in a process with a network and mounts of its own: what it does to them
// is gone with it.
func inNamespace(t *testing.T, inside string, env ...string) {
	t.Helper()
	needRoot(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, "-test.v", "-test.timeout=15m", "-test.run=^"+inside+"$")
	c.Env = append(append(os.Environ(), "INSIDE_NAMESPACE=1"), env...)
	const own = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: own, Pdeathsig: syscall.SIGKILL}
	out, err := c.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("this machine does not give root a network and mounts of its own")
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+inside) {
		t.Errorf("%s has not passed inside: %v\n%s", inside, err, out)
	}
}

// insideNamespace skips what would harm the machine's own network and mounts.
func insideNamespace(t *testing.T) {
	t.Helper()
	if os.Getenv("INSIDE_NAMESPACE") == "" {
		t.Skip("only in a namespace of its own; the test that has it run there is beside it")
	}
	must(t, nil, "ip", "link", "set", "lo", "up")
}

// smallTmpfs mounts a file system of its own, with so many bytes, until the test ends.
func smallTmpfs(t *testing.T, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	must(t, nil, "mount", "-t", "tmpfs", "-o", "size="+size, "none", dir)
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill takes all room of a file system; free gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	name := dir + "/filler"
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}
