package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Requests of the FUSE protocol (include/uapi/linux/fuse.h), and the size of their headers.
const (
	fuseInit      = 26
	fuseInHeader  = 40
	fuseOutHeader = 16
)

// hangingMount mounts a file system whose server answers the kernel's greeting and nothing after that, as a dead NFS server would.
// release lets go of it, and of who waits for it.
func hangingMount(t *testing.T) (point string, release func()) {
	t.Helper()
	dev, err := syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("needs /dev/fuse: %v", err)
	}
	point = t.TempDir()
	if err := syscall.Mount("dead-server:/export", point, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", dev)); err != nil {
		syscall.Close(dev)
		t.Skipf("needs root to mount: %v", err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	release = sync.OnceFunc(func() {
		close(stop)
		<-done
		syscall.Unmount(point, syscall.MNT_DETACH)
		syscall.Close(dev)
	})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<17)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, err := syscall.Read(dev, buf)
			if err == syscall.EINTR || err == syscall.EAGAIN {
				time.Sleep(5 * time.Millisecond)
				continue
			}
			if err != nil || n < fuseInHeader {
				return
			}
			if binary.NativeEndian.Uint32(buf[4:]) != fuseInit {
				continue
			}
			reply := make([]byte, fuseOutHeader+64)
			binary.NativeEndian.PutUint32(reply, uint32(len(reply)))
			copy(reply[8:16], buf[8:16])                     // the request's number
			binary.NativeEndian.PutUint32(reply[16:], 7)     // major version
			binary.NativeEndian.PutUint32(reply[20:], 31)    // minor
			binary.NativeEndian.PutUint32(reply[36:], 1<<16) // largest write
			syscall.Write(dev, reply)
		}
	}()
	return point, release
}

// A network mount that hangs in the kernel costs its own series: the other mounts and the other probes go on.
func TestHungMount(t *testing.T) {
	point, release := hangingMount(t)
	defer release() // before the agent is ended: a thread that waits in the kernel cannot be
	a := startAgent(t, "global: {interval: 1s}\nbuffer: {path: %DIR%/buffer}\nprobes: {filesystem: {mount_timeout: 300ms}}\n")
	var text string
	eventually(t, 15*time.Second, func() (err error) {
		if text, err = get("http://" + a.address + "/metrics"); err != nil {
			return err
		}
		for _, want := range []string{
			`node_filesystem_device_error\{device="dead-server:/export",.*mountpoint="` + regexp.QuoteMeta(point) + `"\} 1\n`,
			`node_filesystem_size_bytes\{.*mountpoint="/"\} \S+\n`,
			`headend_agent_probe_success\{probe="filesystem"\} 1\n`,
			`headend_agent_probe_runs_total\{probe="filesystem"\} ([3-9]|\d\d+)\n`,
			`headend_agent_probe_runs_total\{probe="loadavg"\} ([3-9]|\d\d+)\n`,
		} {
			if !regexp.MustCompile(want).MatchString(text) {
				return fmt.Errorf("no %s", want)
			}
		}
		return nil
	})
	if strings.Contains(text, `node_filesystem_size_bytes{device="dead-server:/export"`) {
		t.Error("a mount that does not answer has a size")
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", a.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	waiting := 0
	for _, task := range tasks {
		wchan, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/wchan", a.cmd.Process.Pid, task.Name()))
		if strings.Contains(string(wchan), "fuse") || strings.Contains(string(wchan), "request_wait") {
			waiting++
		}
	}
	if waiting != 1 {
		t.Errorf("%d threads wait for the dead mount, want 1", waiting)
	}
}
