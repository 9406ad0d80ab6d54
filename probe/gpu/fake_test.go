package gpu

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/probe/gpu/nvmlchild"
	"headend-agent/probe/probetest"
)

// fakeNVML compiles the fake driver library.
func fakeNVML(t testing.TB, path string, flags ...string) {
	t.Helper()
	if !nvmlchild.Built {
		t.Skip("this build has no NVML (no cgo, or -tags nonvml): nothing to load a driver library")
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("the fake driver library needs gcc, which is not installed")
	}
	args := append([]string{"-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o", path, "testdata/fakenvml.c", "-ldl"}, flags...)
	if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
		t.Fatalf("compile the fake driver library: %v\n%s", err, out)
	}
}

// machine is one with GPUs of NVIDIA's, whose driver is the fake.
type machine struct {
	t testing.TB
	*nvidia
	dir    string
	lib    string
	script map[string]string
}

// newMachine makes a machine whose driver says what testdata/SCRIPT.script says. It has a card at each of the addresses.
func newMachine(t testing.TB, script string, addresses ...string) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir(), script: map[string]string{}}
	m.lib = filepath.Join(m.dir, "libnvidia-ml.so.1")
	fakeNVML(t, m.lib)
	text, err := os.ReadFile(filepath.Join("testdata", script+".script"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		m.script[key] = value
	}
	m.set()
	for _, a := range addresses {
		addPCI(t, m.dir, a, vendorNVIDIA, "0x1eb8", "nvidia")
	}
	m.module("550.54.14")
	decode := func(c any) error { c.(*nvidiaConfig).Library = m.lib; return nil }
	p, err := newNVIDIA(decode, probetest.Env(t, m.dir))
	if err != nil {
		t.Fatal(err)
	}
	m.nvidia = p.(*nvidia)
	m.sup.limits.backoff = 0
	t.Cleanup(func() {
		m.Close()
		if b := m.sup.before; b != nil {
			<-b.done
		}
	})
	return m
}

// set changes the script: pairs of KEY and VALUE, where "" takes the key out.
func (m *machine) set(pairs ...string) {
	m.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		m.script[pairs[i]] = pairs[i+1]
		if pairs[i+1] == "" {
			delete(m.script, pairs[i])
		}
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m.script)) {
		fmt.Fprintf(&b, "%s=%s\n", k, m.script[k])
	}
	replaceFile(m.t, m.lib+".script", b.String())
}

// module is the version of the loaded kernel module.
func (m *machine) module(version string) {
	m.t.Helper()
	writeFile(m.t, filepath.Join(m.dir, "proc/driver/nvidia/version"),
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  "+version+"  Thu Feb 22 01:44:30 UTC 2024\nGCC version:  gcc version 12.2.0\n")
}

var changing = regexp.MustCompile(`(?m)^(headend_gpu_probe_duration_seconds|headend_gpu_probe_resident_memory_bytes) .*$`)

// round collects once; what is never twice the same is cut out.
func (m *machine) round() (string, error) {
	m.t.Helper()
	s := metric.NewSet(metric.NewTable(), 10_000)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := m.Collect(ctx, s)
	var text metric.Text
	s.End(metric.Round{Source: "test"}, text.Add)
	var b strings.Builder
	text.WriteTo(&b)
	return changing.ReplaceAllString(b.String(), "$1 -"), err
}

// good is a round without an error.
func (m *machine) good() string {
	m.t.Helper()
	text, err := m.round()
	if err != nil {
		m.t.Fatal(err)
	}
	return text
}

// again collects until the driver answers, as it will when a child has been replaced.
func (m *machine) again() string {
	m.t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var text string
		if text, err = m.round(); err == nil {
			return text
		}
	}
	m.t.Fatalf("no answer in 20 s: %v", err)
	return ""
}

// has checks that text has the lines, and none that begins with what follows a "-".
func has(t testing.TB, text string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		unwanted, none := strings.CutPrefix(l, "-")
		if none && strings.Contains("\n"+text, "\n"+unwanted) {
			t.Errorf("there is a %s in\n%s", unwanted, text)
		}
		if !none && !strings.Contains("\n"+text, "\n"+l+"\n") {
			t.Errorf("there is no %s in\n%s", l, text)
		}
	}
}

// addPCI adds a display controller to a machine.
func addPCI(t testing.TB, dir, address, vendor, device, driver string) string {
	t.Helper()
	d := filepath.Join(dir, "sys/bus/pci/devices", address)
	writeFile(t, filepath.Join(d, "class"), "0x030200\n")
	writeFile(t, filepath.Join(d, "vendor"), vendor+"\n")
	writeFile(t, filepath.Join(d, "device"), device+"\n")
	if driver != "" {
		if err := os.Symlink("../../../../bus/pci/drivers/"+driver, filepath.Join(d, "driver")); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// replaceFile puts another file in the place of one.
func replaceFile(t testing.TB, path, text string) {
	t.Helper()
	writeFile(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
