package host

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"headend-agent/internal/metric"
	"headend-agent/probe/probetest"
)

// mounted makes a probe over the recorded mounts, whose statfs is answered by call. call gets the mount point.
func mounted(t *testing.T, call func(point string, buf *unix.Statfs_t) error) *filesystem {
	env := probetest.Env(t, filepath.Join("testdata", "filesystem"))
	p := probetest.New(t, kind(t, "filesystem"), probetest.NoConfig, env).(*filesystem)
	p.ask.statfs = func(path string, buf *unix.Statfs_t) error {
		point, ok := strings.CutPrefix(path, env.Root)
		if !ok {
			return fmt.Errorf("asked outside of the root: %s", path)
		}
		return call(cmp.Or(point, "/"), buf)
	}
	return p
}

func answerAll(_ string, buf *unix.Statfs_t) error {
	*buf = unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bfree: 400, Bavail: 350, Files: 64, Ffree: 60}
	return nil
}

func TestFilesystem(t *testing.T) {
	got, err := probetest.Collect(mounted(t, func(point string, buf *unix.Statfs_t) error {
		if point == "/mnt/gone" {
			return unix.ENOTCONN
		}
		return answerAll(point, buf)
	}))
	if err != nil {
		t.Fatal(err)
	}
	probetest.Golden(t, filepath.Join("testdata", "filesystem", "golden.txt"), got)
}

// hang is a statfs that does not return for some mounts until they are freed.
type hang struct {
	mu    sync.Mutex
	freed map[string]chan struct{}
	asked []string
}

func (h *hang) statfs(point string, buf *unix.Statfs_t) error {
	h.mu.Lock()
	h.asked = append(h.asked, point)
	wait := h.freed[point]
	h.mu.Unlock()
	if wait != nil {
		<-wait
	}
	return answerAll(point, buf)
}

func (h *hang) asksOf(point string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(h.asked), func(p string) bool { return p != point }))
}

func TestStuckMountDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hang{freed: map[string]chan struct{}{"/mnt/dvr": make(chan struct{}), "/mnt/gone": make(chan struct{})}}
		p := mounted(t, h.statfs)
		run := func() (sizes, errors string, took time.Duration) {
			begin := time.Now()
			got := only(t, p, "node_filesystem_size_bytes", "node_filesystem_device_error")
			for line := range strings.Lines(got) {
				point := line[strings.Index(line, "mountpoint=")+12:]
				point = point[:strings.IndexByte(point, '"')]
				switch {
				case strings.HasPrefix(line, "node_filesystem_size_bytes"):
					sizes += point + " "
				case strings.HasSuffix(line, " 1\n"):
					errors += point + " "
					if !strings.Contains(line, `device_error="mountpoint timeout"`) {
						t.Errorf("%s does not say why", line)
					}
				}
			}
			return sizes, errors, time.Since(begin)
		}
		check := func(what, wantSizes, wantErrors string, wantTook time.Duration) {
			t.Helper()
			sizes, errors, took := run()
			if sizes != wantSizes || errors != wantErrors || took != wantTook {
				t.Errorf("%s: sizes of %s, errors of %s after %s; want %s, %s, %s", what, sizes, errors, took, wantSizes, wantErrors, wantTook)
			}
		}

		check("two get stuck", "/ /var/media archive /run ", "/mnt/dvr /mnt/gone ", 5*time.Second)
		check("they are stuck", "/ /var/media archive /run ", "/mnt/dvr /mnt/gone ", 0)
		check("and stay stuck", "/ /var/media archive /run ", "/mnt/dvr /mnt/gone ", 0)
		if n := h.asksOf("/mnt/dvr"); n != 1 {
			t.Errorf("a stuck mount was asked %d times, want once", n)
		}
		if n := h.asksOf("/"); n != 3 {
			t.Errorf("a healthy mount was asked %d times, want 3", n)
		}
		close(h.freed["/mnt/dvr"])
		synctest.Wait()
		check("one is back", "/ /var/media archive /run /mnt/dvr ", "/mnt/gone ", 0)
		close(h.freed["/mnt/gone"])
	})
}

// Any number of dead mounts takes a bounded number of threads, also over reloads, and silences no file system of this machine, nor one
// that has answered before, though they are listed first.
func TestManyStuckMounts(t *testing.T) {
	m := newMachine(t)
	alive := "10 1 8:1 / / rw - ext4 /dev/sda1 rw\n11 1 0:30 / /alive rw - nfs4 nas:/alive rw\n"
	synctest.Test(t, func(t *testing.T) {
		dead := ""
		freed := map[string]chan struct{}{}
		for i := range 80 {
			point := fmt.Sprintf("/dead/%d", i)
			freed[point] = make(chan struct{})
			dead += fmt.Sprintf("%d 1 0:%d / %s rw - nfs4 gone:%s rw\n", 100+i, 100+i, point, point)
		}
		h := &hang{freed: freed}
		env := m.env()
		fresh := func() *filesystem {
			p := probetest.New(t, kind(t, "filesystem"), probetest.NoConfig, env).(*filesystem)
			p.ask.statfs = func(path string, buf *unix.Statfs_t) error {
				return h.statfs("/"+strings.TrimPrefix(strings.TrimPrefix(path, env.Root), "/"), buf)
			}
			return p
		}
		p := fresh()
		m.write("proc/1/mountinfo", alive)
		only(t, p, "node_filesystem_size_bytes")
		m.write("proc/1/mountinfo", dead+alive)
		for run := range 5 {
			got := only(t, p, "node_filesystem_size_bytes", "node_filesystem_device_error")
			if n := strings.Count(got, "node_filesystem_size_bytes{"); n != 2 {
				t.Errorf("run %d: %d file systems have a size, want / and /alive", run, n)
			}
			errors, notAsked := 0, 0
			for line := range strings.Lines(got) {
				if strings.HasPrefix(line, "node_filesystem_device_error") && strings.HasSuffix(line, " 1\n") {
					errors++
					if strings.Contains(line, "not asked") {
						notAsked++
					}
				}
			}
			if errors != 80 || notAsked != 80-(statfsThreads-statfsReserved) {
				t.Errorf("run %d: %d errors, %d not asked", run, errors, notAsked)
			}
			next := fresh()
			next.Inherit(p)
			p = next
		}
		if n := len(p.ask.stuck); n != statfsThreads-statfsReserved {
			t.Errorf("%d calls hang", n)
		}
		for _, c := range freed {
			close(c)
		}
		synctest.Wait()
		got := only(t, p, "node_filesystem_size_bytes")
		if n := strings.Count(got, "node_filesystem_size_bytes{"); n != 82 {
			t.Errorf("%d file systems have a size when all answer again", n)
		}
	})
}

func TestStuckMountLeavesTimeOfTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hang{freed: map[string]chan struct{}{"/mnt/dvr": make(chan struct{})}}
		p := mounted(t, h.statfs)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		s := metric.NewSet(metric.NewTable(), 1000)
		if err := p.Collect(ctx, s); err != nil || ctx.Err() != nil {
			t.Errorf("got %v, %v; want the others in time", err, ctx.Err())
		}
		if s.Len() == 0 {
			t.Error("the others are not there")
		}
		close(h.freed["/mnt/dvr"])
	})
}

// A dead server's mount may be taken away by umount -l and mounted anew.
func TestStuckMountThatWasMountedAnew(t *testing.T) {
	m := newMachine(t)
	m.write("proc/1/mountinfo", "30 27 0:55 / /mnt/dvr rw - nfs4 nas:/dvr rw\n")
	synctest.Test(t, func(t *testing.T) {
		h := &hang{freed: map[string]chan struct{}{"/mnt/dvr": make(chan struct{})}}
		p := probetest.New(t, kind(t, "filesystem"), probetest.NoConfig, m.env()).(*filesystem)
		p.ask.statfs = func(path string, buf *unix.Statfs_t) error { return h.statfs("/mnt/dvr", buf) }
		if got := only(t, p, "node_filesystem_size_bytes"); got != "" {
			t.Errorf("got %q of a stuck mount", got)
		}
		h.mu.Lock()
		old := h.freed["/mnt/dvr"]
		delete(h.freed, "/mnt/dvr")
		h.mu.Unlock()
		m.write("proc/1/mountinfo", "31 27 0:56 / /mnt/dvr rw - nfs4 nas:/dvr rw\n")
		if got := only(t, p, "node_filesystem_size_bytes"); got == "" {
			t.Error("the new mount was not asked")
		}
		close(old)
	})
}

func TestFilesystemConfig(t *testing.T) {
	env := newMachine(t)
	env.write("proc/self/mountinfo", "27 1 254:0 / / rw - ext4 /dev/vda1 rw\n28 27 8:17 / /data rw - xfs /dev/sdb1 rw\n29 27 8:33 / /pool rw - zfs tank rw\n")
	p := probetest.New(t, kind(t, "filesystem"), decode(func(c *FilesystemConfig) {
		c.MountPointsExclude, c.FSTypesExclude = "^/data$", "^zfs$"
	}), env.env()).(*filesystem)
	p.ask.statfs = func(_ string, buf *unix.Statfs_t) error { return answerAll("", buf) }
	want := "flussonic_disk_size{device=\"/dev/vda1\",path=\"/\"} 4.096e+06\n"
	if got := only(t, p, "flussonic_disk_size"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}

	for _, c := range []struct {
		want string
		set  func(*FilesystemConfig)
	}{
		{"mount_points_exclude: ", func(c *FilesystemConfig) { c.MountPointsExclude = "(" }},
		{"fs_types_exclude: ", func(c *FilesystemConfig) { c.FSTypesExclude = "[" }},
		{"mount_timeout: ", func(c *FilesystemConfig) { c.MountTimeout = 0 }},
	} {
		if _, err := kind(t, "filesystem").New(decode(c.set), env.env()); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want it to begin with %q", err, c.want)
		}
	}
}

// With the root of the machine mounted in a container, its own view is stripped of that root.
func TestFilesystemInAContainer(t *testing.T) {
	m := newMachine(t)
	root := m.env().Root
	m.write("proc/self/mountinfo", fmt.Sprintf("27 1 254:0 / %s rw - ext4 /dev/vda1 rw\n28 27 8:17 / %s/data rw - xfs /dev/sdb1 rw\n", root, root))
	p := probetest.New(t, kind(t, "filesystem"), probetest.NoConfig, m.env()).(*filesystem)
	var asked []string
	var mu sync.Mutex
	p.ask.statfs = func(path string, buf *unix.Statfs_t) error {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, path)
		return answerAll("", buf)
	}
	got := only(t, p, "flussonic_disk_size")
	if !strings.Contains(got, `path="/"`) || !strings.Contains(got, `path="/data"`) {
		t.Errorf("got %s, want / and /data", got)
	}
	slices.Sort(asked)
	if want := []string{root, root + "/data"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}
