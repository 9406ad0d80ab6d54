package buffer

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"

	"headend-agent/internal/metric"
)

// tmpfs returns a directory on tmpfs, or skips the test.
func tmpfs(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "headend-agent-test-")
	if err != nil || !(osFS{}).InMemory(dir) {
		t.Skip("there is no tmpfs on /dev/shm to write to")
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// childEnv makes the test binary a writer that is to be killed: "path runtime".
const childEnv = "BUFFER_TEST_WRITER"

func TestMain(m *testing.M) {
	if args := strings.Fields(os.Getenv(childEnv)); len(args) == 2 {
		writer(args[0], args[1])
		return
	}
	os.Exit(m.Run())
}

// writer appends rounds and tells the number of each once Append has returned; sends batches, and tells what is acknowledged.
func writer(path, runtime string) {
	table := metric.NewTable()
	cfg := smallConfig(path)
	cfg.CommitInterval = model.Duration(time.Millisecond)
	b, err := Open(cfg, Parts{Table: table, Log: slog.New(slog.DiscardHandler), Runtime: runtime})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	f := newFeed(table, 10)
	var from uint64
	in := bufio.NewReader(os.Stdin)
	fmt.Fscan(in, &from)
	f.startMs, f.rounds = 1_790_000_000_000, int(from)
	d := b.Reader("a", Options{})
	rig := rig{t: nil, b: b}
	for {
		b.Append(f.round())
		say('a', uint64(f.rounds))
		if f.rounds%7 == 0 {
			rig.commit()
		}
		if f.rounds%3 != 0 {
			continue
		}
		batch, err := d.Next(nil, metric.Limit{Samples: 40})
		if err != nil {
			panic(err)
		}
		for _, s := range batch.Series {
			for _, x := range s.Points {
				var n int
				fmt.Sscan(s.Ref.Labels.Get("n"), &n)
				say('s', uint64(x.TimeMs-f.startMs)*100+uint64(n))
			}
		}
		say('b', uint64(batch.Count))
		d.Ack(batch, metric.Outcome{Delivered: batch.Count})
		say('k', uint64(batch.Count))
	}
}

// say writes one record at once: a kill does not cut it.
func say(what byte, n uint64) {
	os.Stdout.Write(binary.BigEndian.AppendUint64([]byte{what}, n))
}

// TestKillNine kills a writer again and again. Nothing that Append has returned from may be lost, and only the batch in flight
// may come twice.
func TestKillNine(t *testing.T) {
	runtime, path := tmpfs(t), t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	delivered := map[uint64]int{} // round*100+series: how often it was sent
	appended, repeats := uint64(0), 0
	cycles := trials(t, 60)
	for cycle := range cycles {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path+" "+runtime)
		cmd.Stdin = strings.NewReader(fmt.Sprintln(appended + 10)) // a round that was appended, but not told, is not written over
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := 20 + r.IntN(400)
		first, inFlight, record := true, map[uint64]bool{}, make([]byte, 9)
		for n := 0; ; n++ {
			if n == stop {
				cmd.Process.Kill()
			}
			if _, err := io.ReadFull(out, record); err != nil {
				break
			}
			v := binary.BigEndian.Uint64(record[1:])
			switch record[0] {
			case 'a':
				for i := range uint64(10) {
					delivered[v*100+i] += 0
				}
				appended = max(appended, v)
			case 's':
				if delivered[v]++; delivered[v] > 1 {
					repeats++
					if !first {
						t.Fatalf("cycle %d: a sample is repeated in a later batch than the first", cycle)
					}
				}
				inFlight[v] = true
			case 'k':
				first = false
				clear(inFlight)
			}
		}
		cmd.Wait()
		appended += 10
	}
	table := metric.NewTable()
	b, err := Open(smallConfig(path), Parts{Table: table, Log: slog.New(slog.DiscardHandler), Runtime: runtime})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	d := b.Reader("a", Options{})
	g := rig{t: t, b: b}
	for {
		batch := g.tryNext(d, 1000)
		if batch == nil {
			break
		}
		for _, s := range batch.Series {
			for _, x := range s.Points {
				var n uint64
				fmt.Sscan(s.Ref.Labels.Get("n"), &n)
				delivered[uint64(x.TimeMs-1_790_000_000_000)*100+n]++
			}
		}
		d.Ack(batch, metric.Outcome{Delivered: batch.Count})
	}
	lost := 0
	for _, n := range delivered {
		if n == 0 {
			lost++
		}
	}
	if lost > 0 || len(delivered) == 0 {
		t.Errorf("%d of %d samples are lost", lost, len(delivered))
	}
	if repeats > 40*cycles {
		t.Errorf("%d samples came twice in %d kills", repeats, cycles)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount")
	}
}

// mount mounts something for the time of a test, or skips it.
func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		t.Skipf("mount %s on this machine: %v", kind, err)
	}
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
}

func TestTinyTmpfs(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	mount(t, "none", dir, "tmpfs", 0, "size=3m")
	cfg := smallConfig(filepath.Join(dir, "buffer"))
	cfg.Size = 16 * units.MiB
	r := newRig(t, nil, cfg, "")
	r.feed = newFeed(r.table, 1000)
	r.feed.noisy = true
	d := r.b.Reader("a", Options{})
	for range 10 {
		r.append(100)
		r.commit()
	}
	if s := r.b.Stats(); s.Mode != ModePartial || s.Slots != 2 || s.Errors["ENOSPC"] == 0 {
		t.Errorf("%+v", s)
	}
	got := r.drain(d, 40_000)
	r.accounted("a", 1_000_000)
	r.wantRounds(got, 1001-len(got)/1000, 1000)
	r.b.Close()
}

func TestReadOnlyMount(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	r := newRig(t, nil, smallConfig(dir), "")
	r.b.Reader("a", Options{})
	r.append(10)
	r.b.Close()
	mount(t, dir, dir, "", unix.MS_BIND, "")
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("remount: %v", err)
	}
	r.open()
	if s := r.b.Stats(); s.Mode != ModeMemory || s.Errors["EROFS"] == 0 {
		t.Errorf("%+v", s)
	}
	r.append(10)
	r.wantRounds(r.drain(r.b.Reader("a", Options{}), 30), 1, 20)
	r.b.Close()
}

func TestDirectoryWithoutPermission(t *testing.T) {
	needRoot(t) // to become somebody else
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(tmpfs(t), "test") // where anybody may run it
	binary, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(program, binary, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run=^TestUnprivilegedChild$", "-test.v")
	cmd.Env = append(os.Environ(), "BUFFER_TEST_DIR="+dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS: TestUnprivilegedChild") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestUnprivilegedChild(t *testing.T) {
	dir := os.Getenv("BUFFER_TEST_DIR")
	if dir == "" {
		t.Skip("part of TestDirectoryWithoutPermission")
	}
	r := newRig(t, nil, smallConfig(filepath.Join(dir, "buffer")), "")
	d := r.b.Reader("a", Options{})
	r.append(10)
	r.commit()
	r.wantMode(ModeMemory)
	r.wantRounds(r.drain(d, 30), 1, 10)
	r.b.Close()
}

func TestLockOfAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, nil, smallConfig(dir), "")
	defer r.b.Close()
	if _, err := exec.LookPath("flock"); err != nil {
		t.Skip("there is no flock program")
	}
	if err := exec.Command("flock", "--nonblock", filepath.Join(dir, "v1", "lock"), "true").Run(); err == nil {
		t.Error("another process gets the lock of a directory in use")
	}
	second := newRig(t, nil, smallConfig(dir), "")
	second.wantMode(ModeMemory)
	second.b.Close()
}

// ext4 makes an ext4 of a file and mounts it.
func ext4(t testing.TB, mib int64) (dir, device string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount")
	}
	file := filepath.Join(t.TempDir(), "image")
	dir = filepath.Join(t.TempDir(), "mnt")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(mib << 20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	os.Mkdir(dir, 0o755)
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-b", "4096", file).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v: %s", err, out)
	}
	out, err := exec.Command("losetup", "--find", "--show", file).Output()
	if err != nil {
		t.Skipf("losetup: %v", err)
	}
	device = strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "--detach", device).Run() })
	if err := unix.Mount(device, dir, "ext4", 0, ""); err != nil {
		t.Skipf("mount ext4: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir, filepath.Base(device)
}

func TestExt4FilledByAnotherFile(t *testing.T) {
	dir, _ := ext4(t, 32)
	cfg := smallConfig(filepath.Join(dir, "buffer"))
	cfg.Size = 64 * units.MiB
	r := newRig(t, nil, cfg, "")
	r.feed = newFeed(r.table, 1000)
	r.feed.noisy = true
	d := r.b.Reader("a", Options{})
	for range 5 {
		r.append(100)
		r.commit()
	}
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for _, err = f.Write(make([]byte, 1<<20)); err == nil; _, err = f.Write(make([]byte, 1<<20)) {
	}
	f.Close()
	for range 5 {
		r.append(100)
		r.commit()
	}
	r.wantMode(ModePartial)
	got := r.drain(d, 40_000)
	r.accounted("a", 1_000_000)
	r.wantRounds(got, 1001-len(got)/1000, 1000)
	r.b.Close()
}
