package e2e

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gpuMachine is a fake sysfs with an NVIDIA GPU, and a fake driver library for it.
type gpuMachine struct {
	t        testing.TB
	sys, lib string
}

func newGPUMachine(t testing.TB) *gpuMachine {
	t.Helper()
	if f, err := elf.Open(agentBinary(t)); err == nil {
		libs, _ := f.ImportedLibraries()
		f.Close()
		if len(libs) == 0 {
			t.Skip("the agent was built without cgo, so it has no NVML")
		}
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("the fake driver library needs gcc, which is not installed")
	}
	dir := t.TempDir()
	m := &gpuMachine{t, filepath.Join(dir, "sys"), filepath.Join(dir, "libnvidia-ml.so.1")}
	if out, err := exec.Command(gcc, "-shared", "-fPIC", "-o", m.lib, "../probe/gpu/testdata/fakenvml.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("compile the fake driver library: %v\n%s", err, out)
	}
	card := filepath.Join(m.sys, "bus/pci/devices/0000:3b:00.0")
	if err := os.MkdirAll(card, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"class": "0x030200\n", "vendor": "0x10de\n", "device": "0x1eb8\n"} {
		if err := os.WriteFile(filepath.Join(card, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m.say()
	return m
}

// say makes the driver say what a T4 does, and more.
func (m *gpuMachine) say(more ...string) {
	m.t.Helper()
	text, err := os.ReadFile("../probe/gpu/testdata/t4.script")
	if err != nil {
		m.t.Fatal(err)
	}
	text = append([]byte(strings.Join(append(more, ""), "\n")), text...)
	if err := os.WriteFile(m.lib+".script.new", text, 0o644); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Rename(m.lib+".script.new", m.lib+".script"); err != nil {
		m.t.Fatal(err)
	}
}

func (m *gpuMachine) start(flags ...string) *agent {
	m.t.Helper()
	yaml := config("127.0.0.1:1/") + "probes: {gpu_nvidia: {library: " + m.lib + "}}\n"
	a := startAgent(m.t, yaml, append(flags, "--path.sysfs="+m.sys)...)
	m.t.Cleanup(func() { // the library writes its log at the end
		pid := a.child()
		a.kill()
		gone(m.t, pid, time.Minute)
	})
	return a
}

// child returns the process that talks to the driver; 0 while there is none.
func (a *agent) child() int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			continue
		}
		var state string
		var parent int
		fmt.Sscan(string(b[bytes.LastIndexByte(b, ')')+1:]), &state, &parent)
		if parent == a.cmd.Process.Pid && state != "Z" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(s)))
			return pid
		}
	}
	return 0
}

// shows waits until the agent's page has a line, once a round at most.
func (a *agent) shows(line string) {
	a.t.Helper()
	eventually(a.t, 40*time.Second, func() error {
		text, err := get("http://" + a.address + "/metrics")
		if err == nil && !strings.Contains("\n"+text, "\n"+line+"\n") {
			err = fmt.Errorf("there is no %s", line)
		}
		return err
	})
}

const (
	gpuIsUp   = `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 1`
	gpuIsDown = `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 0`
)

// A driver that hangs or crashes costs the GPU's series for as long as it does, and the agent nothing.
func TestGPUDriverThatMisbehaves(t *testing.T) {
	m := newGPUMachine(t)
	a := m.start()
	a.shows(`flussonic_gpu_enc{gpu="0",pci="0000:3b:00.0"} 61`)
	threads := func() int { tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", a.cmd.Process.Pid)); return len(tasks) }
	before := threads()
	for _, what := range []string{"crash", "hang"} {
		m.say("GetEncoderUtilization.do=" + what)
		a.shows(gpuIsDown)
		m.say()
		a.shows(gpuIsUp)
		a.shows(`headend_gpu_probe_restarts_total{reason="` + what + `"} 1`)
	}
	if _, err := get("http://" + a.address + "/-/healthy"); err != nil {
		t.Error(err)
	}
	if after := threads(); after > before+4 { // a hung call in the agent itself would keep one each
		t.Errorf("the agent had %d threads and has %d", before, after)
	}
}

// Whoever waits for the agent's end, as systemd does, kills what is left of it then: by then the driver is closed in order, and a process
// that hangs in it is no more.
func TestGPUChildEndsBeforeTheAgent(t *testing.T) {
	for _, c := range []struct{ state, script, log string }{
		{"ok", "Shutdown.us=700000", "shutdown\n"},
		{"slow", "GetEncoderUtilization.do=hang", ""},
	} {
		t.Run(c.state, func(t *testing.T) {
			m := newGPUMachine(t)
			m.say("Shutdown.us=700000")
			a := m.start()
			a.shows(gpuIsUp)
			m.say(c.script)
			a.shows(`headend_gpu_probe_state{state="` + c.state + `"} 1`)
			pid := a.child()
			if pid == 0 {
				t.Fatal("there is no child")
			}
			if code := a.stop(); code != 0 {
				t.Errorf("exit status %d", code)
			}
			if err := syscall.Kill(pid, 0); err == nil {
				t.Errorf("process %d outlives the agent", pid)
			}
			if log, _ := os.ReadFile(m.lib + ".log"); string(log) != c.log {
				t.Errorf("the driver library's log is %q, want %q", log, c.log)
			}
		})
	}
}

// gone waits until a process is no more.
func gone(t testing.TB, pid int, within time.Duration) {
	t.Helper()
	eventually(t, within, func() error {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !bytes.Contains(b, []byte(") Z ")) {
			return fmt.Errorf("process %d is still there", pid)
		}
		return nil
	})
}

func TestGPURelease(t *testing.T) {
	m := newGPUMachine(t)
	a := m.start("--web.enable-lifecycle")
	a.shows(gpuIsUp)
	pid := a.child()
	release := func(d string) {
		r, err := http.Post("http://"+a.address+"/-/gpu/release?for="+d, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if said, _ := io.ReadAll(r.Body); r.StatusCode != 200 || !strings.Contains(string(said), "released for "+d) {
			t.Errorf("%s: %s", r.Status, said)
		}
	}
	release("1m0s")
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); pid == 0 || err == nil || a.child() != 0 {
		t.Errorf("process %d still talks to the driver", pid)
	}
	if log, _ := os.ReadFile(m.lib + ".log"); string(log) != "shutdown\n" {
		t.Errorf("the driver library was not shut down: %q", log)
	}
	a.shows(`headend_gpu_probe_state{state="released"} 1`)
	release("0s") // the work is done before its time
	a.shows(gpuIsUp)
}

// What the child costs the machine: resident memory, of which most are pages of the program, which are the agent's too.
func TestGPUChildIsSmall(t *testing.T) {
	m := newGPUMachine(t)
	a := m.start()
	a.shows(gpuIsUp)
	pid := a.child()
	var cost string
	small := func() error {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			t.Fatal(err)
		}
		kib := map[string]int{}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) == 3 && f[2] == "kB" {
				kib[f[0]], _ = strconv.Atoi(f[1])
			}
		}
		cost = fmt.Sprintf("own %d KiB, resident %d KiB", kib["Anonymous:"], kib["Rss:"])
		if kib["Rss:"] == 0 || kib["Rss:"] >= 8000 || kib["Anonymous:"] >= 4<<10 {
			return errors.New(cost)
		}
		return nil
	}
	eventually(t, 30*time.Second, small)
	time.Sleep(3 * time.Second) // some rounds later it is as small
	if err := small(); err != nil {
		t.Error(err)
	}
	t.Log(cost)
}

// Nobody else ends the child when the agent is killed; a call that does not return gets some time.
func TestGPUChildGoesWithTheAgent(t *testing.T) {
	for _, c := range []struct {
		state, script, log string
		within             time.Duration
	}{
		{"ok", "", "shutdown\n", 10 * time.Second},
		{"slow", "GetEncoderUtilization.do=hang", "", time.Minute},
	} {
		t.Run(c.state, func(t *testing.T) {
			m := newGPUMachine(t)
			a := m.start()
			a.shows(gpuIsUp)
			m.say(c.script)
			a.shows(`headend_gpu_probe_state{state="` + c.state + `"} 1`)
			pid := a.child()
			if pid == 0 {
				t.Fatal("there is no child")
			}
			a.kill()
			gone(t, pid, c.within)
			if log, _ := os.ReadFile(m.lib + ".log"); string(log) != c.log {
				t.Errorf("the driver library's log is %q, want %q", log, c.log)
			}
		})
	}
}

// once runs a program's NVIDIA probe on a machine with a GPU of NVIDIA's.
func (m *gpuMachine) once(program string) (metrics, said string) {
	m.t.Helper()
	file := filepath.Join(m.t.TempDir(), "agent.yml")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		m.t.Fatal(err)
	}
	var out, err bytes.Buffer
	cmd := exec.Command(program, "probe", "--config.file="+file, "--path.sysfs="+m.sys, "gpu_nvidia")
	cmd.Stdout, cmd.Stderr = &out, &err
	if cmd.Run(); cmd.ProcessState.ExitCode() != 1 {
		m.t.Errorf("%v: %s", cmd.ProcessState, err.String())
	}
	return out.String(), err.String()
}

// The release binary where there is a GPU and nobody has installed its driver.
func TestGPUWithoutDriver(t *testing.T) {
	if _, err := os.Stat("/dev/nvidiactl"); err == nil {
		t.Skip("this machine has NVIDIA's driver")
	}
	m := newGPUMachine(t)
	metrics, said := m.once(agentBinary(t))
	for _, want := range []string{`headend_gpu_probe_state{state="absent"} 1`, gpuIsDown} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("there is no %s in\n%s", want, metrics)
		}
	}
	if !strings.Contains(said, "there is no driver library: libnvidia-ml.so.1") {
		t.Errorf("it says %q", said)
	}
}

// Builds without NVIDIA's library pass the tests, and say what they lack.
func TestGPUBuildsWithoutNVML(t *testing.T) {
	m := newGPUMachine(t)
	for name, b := range map[string]struct {
		flags, env []string
		foreign    bool
	}{
		"without cgo":       {env: []string{"CGO_ENABLED=0"}},
		"with the tag":      {flags: []string{"-tags=nonvml,nethttpomithttp2"}},
		"arm64 without cgo": {env: []string{"CGO_ENABLED=0", "GOARCH=arm64"}, foreign: true}, // with it: packaging/build
	} {
		t.Run(name, func(t *testing.T) {
			m.t = t
			program := filepath.Join(t.TempDir(), "agent")
			goTool := func(args ...string) {
				cmd := exec.Command("go", args...)
				cmd.Dir, cmd.Env = "..", append(os.Environ(), b.env...)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
				}
			}
			goTool(append(append([]string{"build"}, b.flags...), "-o", program, "./cmd/agent")...)
			if b.foreign {
				return
			}
			goTool(append(append([]string{"test"}, b.flags...), "./probe/gpu/...")...)
			metrics, said := m.once(program)
			if !strings.Contains(metrics, `headend_gpu_probe_state{state="not_built"} 1`+"\n") || !strings.Contains(said, "this build has no NVML") {
				t.Errorf("it finds\n%sand says %q", metrics, said)
			}
		})
	}
}

// A program that binds NVIDIA's functions when it starts does not start where they are not.
func TestBinaryBindsLazily(t *testing.T) {
	f, err := elf.Open(agentBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if flags, _ := f.DynValue(elf.DT_FLAGS); len(flags) > 0 && elf.DynFlag(flags[0])&elf.DF_BIND_NOW != 0 {
		t.Error("it has DF_BIND_NOW")
	}
	if flags, _ := f.DynValue(elf.DT_FLAGS_1); len(flags) > 0 && elf.DynFlag1(flags[0])&elf.DF_1_NOW != 0 {
		t.Error("it has DF_1_NOW")
	}
	if libs, _ := f.ImportedLibraries(); strings.Contains(strings.Join(libs, " "), "nvidia") {
		t.Errorf("it needs %v", libs)
	}
	if out, err := exec.Command(agentBinary(t), "version").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
