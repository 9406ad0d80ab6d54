package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What does not work is tried again every five minutes; each of these tests waits for that once, all of them at a time.
const retried = 8 * time.Minute

func TestDiskTrouble(t *testing.T) {
	for _, inside := range []string{"TestInsideFullDisk", "TestInsideReadOnlyDisk", "TestInsideFullRuntimeDirectory"} {
		t.Run(inside, func(t *testing.T) {
			t.Parallel()
			inNamespace(t, inside)
		})
	}
}

// page waits until the agent's page has, or has not, a text.
func (a *agent) page(t testing.TB, text string, want bool, atMost time.Duration) {
	t.Helper()
	patience := time.Now().Add(atMost)
	for {
		select {
		case <-a.done:
			t.Fatalf("the agent has ended: %v", a.cmd.ProcessState)
		default:
		}
		page, err := get("http://" + a.address + "/metrics")
		if err == nil && strings.Contains(page, text) == want {
			return
		}
		if time.Now().After(patience) {
			t.Fatalf("after %s the agent's page still says nothing else of %q (%v)", atMost, text, err)
		}
		time.Sleep(time.Second)
	}
}

// What the page says of the buffer.
const (
	onDisk   = "\nheadend_agent_buffer_mode{mode=\"disk\"} 1\n"
	inMemory = "\nheadend_agent_buffer_mode{mode=\"memory\"} 1\n"
	withTail = "\nheadend_agent_buffer_tail_bytes "
)

// slowly is a configuration for minutes of outage.
func slowly(write, path string) string {
	yaml := strings.Replace(commitOften(config(write)), "interval: 1s}", "interval: 2s}", 1)
	return strings.ReplaceAll(yaml, "%DIR%/buffer", path)
}

// end stops the agent in order.
func (a *agent) end(t testing.TB) {
	t.Helper()
	if code := a.stop(); code != 0 {
		t.Fatalf("exit %d", code)
	}
}

// reboot stops the agent in order, throws away what is in memory, and starts it again.
func (a *agent) reboot(t *testing.T) *agent {
	t.Helper()
	a.end(t)
	left, err := filepath.Glob(os.Getenv("RUNTIME_DIRECTORY") + "/*")
	if err != nil || len(left) == 0 {
		t.Fatalf("nothing in the runtime directory: %v", err)
	}
	for _, name := range left {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	return restartAgent(t, a.config)
}

// The disk is full when the agent starts for the first time, while the receiver is down. When there is room, the disk
// is used: a reboot costs nothing.
func TestInsideFullDisk(t *testing.T) {
	insideNamespace(t)
	runtimeDir(t)
	disk := smallTmpfs(t, "6m")
	free := fill(t, disk)
	l := startLedger(t)
	l.stand(down)
	a := startAgent(t, slowly(l.address, disk+"/buffer"))
	a.page(t, inMemory, true, time.Minute)
	time.Sleep(3 * time.Second)
	free()
	a.page(t, inMemory, false, retried) // with few slots it is a part of the ring
	a.reboot(t)
	l.stand(nil)
	l.everyRoundOnce(t, 2)
}

// The disk, which has samples from before, is read-only when the agent starts, and the receiver is down.
func TestInsideReadOnlyDisk(t *testing.T) {
	insideNamespace(t)
	runtimeDir(t)
	disk := smallTmpfs(t, "80m")
	l := startLedger(t)
	l.stand(down)
	a := startAgent(t, slowly(l.address, disk+"/buffer"))
	time.Sleep(5 * time.Second)
	a.end(t)
	must(t, nil, "mount", "-o", "remount,ro", disk)
	a = restartAgent(t, a.config)
	a.page(t, inMemory, true, time.Minute)
	must(t, nil, "mount", "-o", "remount,rw", disk)
	a.page(t, onDisk, true, retried)
	a.reboot(t)
	l.stand(nil)
	l.everyRoundOnce(t, 3)
}

// The tmpfs under /run is full when the agent starts. When there is room, the WAL is used: a kill costs nothing.
func TestInsideFullRuntimeDirectory(t *testing.T) {
	insideNamespace(t)
	dir := smallTmpfs(t, "20m")
	t.Setenv("RUNTIME_DIRECTORY", dir)
	free := fill(t, dir)
	l := startLedger(t)
	l.stand(down)
	yaml := strings.Replace(slowly(l.address, "%DIR%/buffer"), "commit_interval: 1s", "commit_interval: 1h", 1)
	a := startAgent(t, yaml)
	a.page(t, onDisk, true, time.Minute)
	a.page(t, withTail, false, time.Minute)
	free()
	a.page(t, withTail, true, retried)
	time.Sleep(3 * time.Second)
	page, err := get("http://" + a.address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	a.kill()
	restartAgent(t, a.config)
	l.stand(nil)
	l.everyRoundOnce(t, 2)
	reached := 0.0
	for _, p := range l.rounds(t) {
		if p.Value == 0 && reached > 0 {
			break
		}
		reached = p.Value
	}
	if want := value(page, ownRuns); reached < want {
		t.Errorf("the killed agent's last round is number %v, and its page had shown number %v", reached, want)
	}
}

// A kernel that finds its disk broken goes on with it read-only, whoever has files open for writing there. That
// happens while all is well and the ring is not used; then comes an outage.
func TestReadOnlyRemountInVM(t *testing.T) {
	t.Parallel()
	inVM(t, "TestInsideReadOnlyRemount", "", agentToo(t))
}

func TestInsideReadOnlyRemount(t *testing.T) {
	insideVM(t)
	runtimeDir(t)
	l := startLedger(t)
	a := startAgent(t, hurried(l.address))
	l.has(t, 2)
	a.page(t, onDisk, true, time.Minute)
	if err := os.WriteFile("/proc/sysrq-trigger", []byte("u"), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		err := os.WriteFile(a.config+".new", nil, 0o600)
		if !errors.Is(err, syscall.EROFS) {
			return fmt.Errorf("the disk is not read-only: %v", err)
		}
		return nil
	})
	l.stand(down)
	a.page(t, inMemory, true, time.Minute)
	time.Sleep(4 * time.Second)
	must(t, nil, "mount", "-o", "remount,rw", "/")
	a.page(t, onDisk, true, retried)
	time.Sleep(4 * time.Second)
	a.reboot(t)
	l.stand(nil)
	l.everyRoundOnce(t, 2)
}
