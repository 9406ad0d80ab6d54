package gpu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/probe"
	"headend-agent/probe/gpu/nvmlchild"
	"headend-agent/probe/probetest"
)

const first, second = "0000:3b:00.0", "0000:3c:00.0"

func TestT4(t *testing.T) {
	m := newMachine(t, "t4", first)
	probetest.Golden(t, "testdata/t4.txt", m.good())
}

func TestValuesFollowTheDriver(t *testing.T) {
	m := newMachine(t, "t4", first)
	has(t, m.good(), `flussonic_gpu_enc{gpu="0",pci="0000:3b:00.0"} 61`, `headend_gpu_engine_utilization_max_ratio{engine="enc",gpu="0",pci="0000:3b:00.0"} 0.97`)
	m.set("GetEncoderUtilization", "100", "GetSamples.enc", "98,100", "GetTemperature", "83")
	has(t, m.good(), `flussonic_gpu_enc{gpu="0",pci="0000:3b:00.0"} 100`, `flussonic_gpu_temp{gpu="0",pci="0000:3b:00.0"} 83`,
		`headend_gpu_engine_utilization_ratio{engine="enc",gpu="0",pci="0000:3b:00.0"} 0.99`)
	m.set("GetSamples.enc", "") // without a history, what the driver says now
	has(t, m.good(), `headend_gpu_engine_utilization_ratio{engine="enc",gpu="0",pci="0000:3b:00.0"} 1`,
		`-headend_gpu_engine_utilization_max_ratio{engine="enc",gpu="0",pci="0000:3b:00.0"}`)
}

// Of the driver's buffer a round takes what is new in it, be the older part still there or not.
func TestHistoryIsReadOnce(t *testing.T) {
	m := newMachine(t, "t4", first)
	const none = -1
	for i, c := range []struct {
		samples      string
		average, max float64
	}{
		{"9000000:10,9020000:30", 0.2, 0.3}, // at the start, all there is
		{"9000000:10,9020000:30", 0.61, none},
		{"9020000:30,9040000:90,9060000:50", 0.7, 0.9},
		{"9080000:0,9100000:101,9120000:20", 0.1, 0.2}, // 101 % is no reading
		{"9120000:20,9140000:20", 0.2, 0.2},
		{"500000:99,520000:98", 0.61, none}, // the clock was set back: nothing to compare with, once
		{"500000:99,520000:98,540000:40", 0.4, 0.4},
	} {
		m.set("GetSamples.enc", c.samples)
		text := m.good()
		const labels = `{engine="enc",gpu="0",pci="0000:3b:00.0"} `
		has(t, text, fmt.Sprint("headend_gpu_engine_utilization_ratio", labels, c.average))
		if c.max == none {
			has(t, text, "-headend_gpu_engine_utilization_max_ratio"+labels)
		} else {
			has(t, text, fmt.Sprint("headend_gpu_engine_utilization_max_ratio", labels, c.max))
		}
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
	}
}

func TestUnsupportedIsAbsent(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.set("GetFanSpeed", "", "GetPowerUsage", "", "GetEncoderSessions.h264", "", "GetClockInfo.video", "", "GetFieldValues.197", "", "GetSamples.dec", "")
	has(t, m.good(), "-headend_gpu_fan_ratio", "-headend_gpu_power_watts", "-headend_gpu_encoder_sessions", "-headend_gpu_probe_errors_total",
		`-headend_gpu_clock_hertz{domain="video",gpu="0",pci="0000:3b:00.0"}`, `-headend_gpu_pcie_bytes_total{direction="transmit",gpu="0",pci="0000:3b:00.0"}`,
		`headend_gpu_clock_hertz{domain="sm",gpu="0",pci="0000:3b:00.0"} 1.59e+09`)
}

// What a driver does not know yet, or no longer, is unsupported too: asking each round is no failure.
func TestDriverOfAnotherAge(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.set("GetSamples.code", "2", "GetMarginTemperature.code", "25", "GetMemoryInfo_v2.code", "25", "GetFieldValues.197.code", "2", "GetTemperature.code", "26")
	has(t, m.good(), "-headend_gpu_probe_errors_total", "-headend_gpu_engine_utilization_max_ratio", "-headend_gpu_temperature_margin_celsius", "-flussonic_gpu_temp",
		`-headend_gpu_pcie_bytes_total{direction="transmit"`, `headend_gpu_pcie_bytes_total{direction="receive",gpu="0",pci="0000:3b:00.0"} 9.8765432109e+10`,
		`headend_gpu_memory_used_bytes{gpu="0",pci="0000:3b:00.0"} 2.602565632e+09`) // by the older call, reserved memory and all
}

func TestRateOf0BesideLivingSessionsIsUnknown(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.set("GetEncoderStats.fps", "0", "GetEncoderStats.latency", "0")
	has(t, m.good(), "-headend_gpu_encoder_fps", "-headend_gpu_encoder_latency_seconds", `headend_gpu_encoder_sessions{codec="h264",gpu="0",pci="0000:3b:00.0"} 2`)
	m.set("GetEncoderStats", "0", "GetEncoderStats.fps", "50") // and what is said of no session at all is none
	has(t, m.good(), "-headend_gpu_encoder_fps")
}

func TestCardWithoutEncoderHasNoEncoderLoad(t *testing.T) {
	m := newMachine(t, "h200", first)
	has(t, m.good(), "-flussonic_gpu_enc", `-headend_gpu_engine_utilization_ratio{engine="enc",gpu="0",pci="0000:3b:00.0"}`, "-headend_gpu_encoder_sessions",
		`flussonic_gpu_dec{gpu="0",pci="0000:3b:00.0"} 4`, `headend_gpu_temperature_celsius{gpu="0",pci="0000:3b:00.0",sensor="memory"} 41`)
}

// With MIG on, utilization and history are not supported, and the rest is.
func TestMIG(t *testing.T) {
	m := newMachine(t, "h200", first)
	m.good()
	m.set("GetUtilizationRates.code", "3", "GetEncoderUtilization.code", "3", "GetDecoderUtilization.code", "3", "GetJpgUtilization.code", "3",
		"GetOfaUtilization.code", "3", "GetSamples.code", "3", "GetEncoderStats", "0")
	has(t, m.good(), "-flussonic_gpu_enc", "-flussonic_gpu_dec", "-headend_gpu_engine_utilization", `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 1`,
		`flussonic_gpu_temp{gpu="0",pci="0000:3b:00.0"} 33`, "-headend_gpu_probe_errors_total")
}

func TestFailingCallCostsOnlyItself(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.set("GetPowerUsage.code", "999", "GetSamples.code", "4")
	m.good()
	has(t, m.good(), `headend_gpu_probe_errors_total{call="GetPowerUsage",code="999"} 2`, `headend_gpu_probe_errors_total{call="GetSamples",code="4"} 10`,
		"-headend_gpu_power_watts", `flussonic_gpu_enc{gpu="0",pci="0000:3b:00.0"} 61`, `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 1`)
}

func TestLostGPUCostsOnlyItself(t *testing.T) {
	m := newMachine(t, "t4", first, second)
	m.set("DeviceGetCount", "2", "1.GetEncoderUtilization", "5")
	has(t, m.good(), `flussonic_gpu_enc{gpu="0",pci="0000:3b:00.0"} 61`, `flussonic_gpu_enc{gpu="1",pci="0000:3c:00.0"} 5`)
	m.set("0.lost", "15")
	text := m.good()
	has(t, text, `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 0`, `-flussonic_gpu_enc{gpu="0"`, `flussonic_gpu_enc{gpu="1",pci="0000:3c:00.0"} 5`,
		`headend_gpu_probe_errors_total{call="GetTemperature",code="15"} 1`, `-headend_gpu_probe_errors_total{call="GetPowerUsage"`)
	if !strings.Contains(text, `headend_gpu_info{driver="550.54.14",gpu="0",name="Tesla T4",pci="0000:3b:00.0"`) {
		t.Errorf("a lost GPU has no name any more:\n%s", text)
	}
	m.set("0.lost", "999") // of what no call works is lost too
	has(t, m.good(), `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 0`, `headend_gpu_up{gpu="1",pci="0000:3c:00.0"} 1`)
	m.set("0.lost", "")
	has(t, m.good(), `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 1`)
}

func TestNumberOfGPUsChanges(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.good()
	m.set("DeviceGetCount", "2")
	has(t, m.good(), `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 1`, `headend_gpu_up{gpu="1",pci="0000:3c:00.0"} 1`)
	m.set("DeviceGetCount", "1", "0.bus", "60") // the first is gone, the second has its index
	has(t, m.good(), `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 0`, `headend_gpu_up{gpu="0",pci="0000:3c:00.0"} 1`)
}

func TestFailingCountCostsNothing(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.good()
	m.set("DeviceGetCount.code", "999", "xid", "79", "xid.seq", "1")
	has(t, m.good(), `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 1`, `flussonic_gpu_enc{gpu="0",pci="0000:3b:00.0"} 61`,
		`headend_gpu_probe_errors_total{call="DeviceGetCount",code="999"} 1`, `headend_gpu_xid_errors_total{gpu="0",pci="0000:3b:00.0",xid="79"} 1`)
}

// NVML writes eight digits of an address's domain, the kernel four, or as many as it takes.
func TestDomainsBeyondTheFirst(t *testing.T) {
	m := newMachine(t, "t4", "0001:3b:00.0", "10000:3c:00.0")
	m.set("DeviceGetCount", "2", "0.domain", "1", "1.domain", "65536")
	text := m.good()
	has(t, text, `headend_gpu_up{gpu="0",pci="0001:3b:00.0"} 1`, `headend_gpu_up{gpu="1",pci="10000:3c:00.0"} 1`)
	if n := strings.Count(text, "\nheadend_gpu_up{"); n != 2 {
		t.Errorf("%d GPUs in\n%s", n, text)
	}
}

func TestGPUOnTheBusThatNVMLDoesNotSee(t *testing.T) {
	m := newMachine(t, "t4", first, "0000:af:00.0")
	has(t, m.good(), `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 1`, `headend_gpu_up{gpu="1",pci="0000:af:00.0"} 0`)
}

func TestHangCostsTheReadingsAndIsOverWithIt(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.good()
	m.sup.limits.sample, m.sup.limits.step = 300*time.Millisecond, 100*time.Millisecond
	m.set("GetDecoderUtilization.do", "hang")
	text, err := m.round()
	if !errors.As(err, new(*probe.Partial)) {
		t.Errorf("error %v, want one that keeps the samples", err)
	}
	has(t, text, `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 0`, `headend_gpu_probe_state{state="hang"} 1`, `headend_gpu_probe_restarts_total{reason="hang"} 1`, "-flussonic_gpu")
	m.sup.limits.sample = time.Minute
	m.set("GetDecoderUtilization.do", "")
	has(t, m.again(), `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 1`, `headend_gpu_probe_state{state="ok"} 1`, `headend_gpu_probe_restarts_total{reason="hang"} 1`)
}

func TestCrashCostsTheReadings(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.good()
	m.set("GetPowerUsage.do", "crash")
	text, err := m.round()
	if err == nil || !strings.Contains(err.Error(), "has ended: exit status 2: SIGSEGV: segmentation violation") {
		t.Errorf("error %v", err)
	}
	has(t, text, `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 0`, `headend_gpu_probe_restarts_total{reason="crash"} 1`)
	m.set("GetPowerUsage.do", "")
	has(t, m.again(), `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 1`, `flussonic_gpu_enc{gpu="0",pci="0000:3b:00.0"} 61`)
}

// What the driver's library prints is neither an answer nor in the way of one.
func TestDriverThatPrints(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.set("GetPowerUsage.do", "chat")
	for range 3 {
		has(t, m.good(), `headend_gpu_power_watts{gpu="0",pci="0000:3b:00.0"} 43.21`)
	}
	said := &m.sup.child.said
	said.mu.Lock()
	defer said.mu.Unlock()
	if n := len(said.b); n == 0 || n > tailSize {
		t.Errorf("%d bytes of what was printed are kept", n)
	}
}

// A driver that lacks functions which later ones have: to call one would end the process.
func TestOldDriver(t *testing.T) {
	m := newMachine(t, "t4", first)
	install(t, m.lib, oldDriver)
	m.set("SystemGetDriverVersion", "418.226.00")
	has(t, m.good(), `flussonic_gpu_enc{gpu="0",pci="0000:3b:00.0"} 61`, `headend_gpu_memory_used_bytes{gpu="0",pci="0000:3b:00.0"} 2.602565632e+09`,
		`headend_gpu_engine_utilization_ratio{engine="enc",gpu="0",pci="0000:3b:00.0"} 0.61`, "-headend_gpu_pcie_bytes_total", "-headend_gpu_temperature_margin_celsius",
		`-headend_gpu_engine_utilization_ratio{engine="jpeg",gpu="0",pci="0000:3b:00.0"}`, `headend_gpu_probe_restarts_total{reason="crash"} 0`)
}

// An upgrade puts another library in the place of the one in use, which goes on; the new one is loaded with the new kernel module.
func TestReplacedLibrary(t *testing.T) {
	m := newMachine(t, "t4", first)
	has(t, m.good(), `headend_gpu_engine_utilization_ratio{engine="jpeg",gpu="0",pci="0000:3b:00.0"} 0`)
	install(t, m.lib, oldDriver)
	for range 10 { // the file is looked at now and then
		has(t, m.good(), `headend_gpu_engine_utilization_ratio{engine="jpeg",gpu="0",pci="0000:3b:00.0"} 0`)
	}
	if !m.sup.replaced {
		t.Error("nobody noticed")
	}
	m.module("560.28.03")
	m.good()
	has(t, m.again(), `-headend_gpu_engine_utilization_ratio{engine="jpeg",gpu="0",pci="0000:3b:00.0"}`, `flussonic_gpu_enc{gpu="0",pci="0000:3b:00.0"} 61`,
		`headend_gpu_probe_restarts_total{reason="driver"} 1`)
}

func TestMismatchHealsWithTheModule(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.set("Init.code", "18")
	text, err := m.round()
	has(t, text, `headend_gpu_probe_state{state="mismatch"} 1`, `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 0`)
	if err == nil || !strings.Contains(err.Error(), "different releases") {
		t.Errorf("error %v", err)
	}
	m.set("Init.code", "0")
	m.module("560.28.03")
	m.again()
}

func TestNoLibrary(t *testing.T) {
	m := newMachine(t, "t4", first)
	os.Remove(m.lib)
	text, err := m.round()
	has(t, text, `headend_gpu_probe_state{state="absent"} 1`, `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 0`)
	if err == nil || !strings.Contains(err.Error(), "libnvidia-ml.so.1") {
		t.Errorf("error %v", err)
	}
}

func TestXIDsAreCountedAndOutliveTheChild(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.set("DeviceGetCount", "2")
	has(t, m.good(), "-headend_gpu_xid_errors_total")
	m.set("xid", "79", "xid.seq", "2")
	has(t, m.good(), `headend_gpu_xid_errors_total{gpu="0",pci="0000:3b:00.0",xid="79"} 2`, `-headend_gpu_xid_errors_total{gpu="1"`)
	m.set("xid", "31", "xid.seq", "3")
	m.good()
	m.set("GetPowerUsage.do", "crash", "xid.seq", "0")
	m.round()
	m.set("GetPowerUsage.do", "")
	has(t, m.again(), `headend_gpu_xid_errors_total{gpu="0",pci="0000:3b:00.0",xid="79"} 2`, `headend_gpu_xid_errors_total{gpu="0",pci="0000:3b:00.0",xid="31"} 1`)
}

func TestLeakingDriverIsRecycled(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.sup.limits.growth = 100 << 20
	for range settled {
		m.good()
	}
	m.set("GetPowerUsage.do", "leak") // 16 MiB each
	for range 10 {
		m.good()
	}
	has(t, m.good(), `headend_gpu_probe_restarts_total{reason="memory"} 1`)
}

func TestReleaseClosesTheDriverInOrder(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.good()
	if err := m.Release(context.Background(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if log, _ := os.ReadFile(m.lib + ".log"); string(log) != "shutdown\n" {
		t.Errorf("the driver library was not shut down: %q", log)
	}
	has(t, m.good(), `headend_gpu_probe_state{state="released"} 1`, "-headend_gpu_up", "-flussonic_gpu")
	m.Release(context.Background(), 0)
	has(t, m.again(), `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 1`)
}

// SIGTERM from elsewhere finds the child idle.
func TestTerminatedChildClosesTheDriverInOrder(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.good()
	child := m.sup.child
	child.cmd.Process.Signal(syscall.SIGTERM)
	<-child.done
	if log, _ := os.ReadFile(m.lib + ".log"); string(log) != "shutdown\n" || child.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("%s, and the library's log is %q", child.cmd.ProcessState, log)
	}
	has(t, m.again(), `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 1`)
}

// The environment of the agent may hold secrets, and the driver's library is not ours.
func TestChildGetsNoSecrets(t *testing.T) {
	t.Setenv("PUSH_TOKEN", "hunter2")
	m := newMachine(t, "t4", first)
	m.good()
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", m.sup.child.cmd.Process.Pid))
	if err != nil || strings.Contains(string(env), "hunter2") || !strings.Contains(string(env), "PATH=") {
		t.Errorf("%q, %v", env, err)
	}
}

func TestReloadKeepsChildReleaseAndCounts(t *testing.T) {
	m := newMachine(t, "t4", first)
	m.set("xid", "79", "xid.seq", "1", "DeviceGetCount", "2") // the second is not on the bus that we see
	m.good()
	pid := m.sup.child.cmd.Process.Pid
	next := func(library string) *nvidia {
		p, err := newNVIDIA(func(c any) error { c.(*nvidiaConfig).Library = library; return nil }, m.env)
		if err != nil {
			t.Fatal(err)
		}
		p.(probe.Heir).Inherit(m.nvidia)
		return p.(*nvidia)
	}
	m.set("DeviceGetCount", "1")
	m.nvidia = next(m.lib)
	has(t, m.good(), `headend_gpu_up{gpu="1",pci="0000:3c:00.0"} 0`, `headend_gpu_xid_errors_total{gpu="0",pci="0000:3b:00.0",xid="79"} 1`)
	if got := m.sup.child.cmd.Process.Pid; got != pid {
		t.Errorf("child %d, want %d", got, pid)
	}
	old := m.sup
	m.nvidia = next("/nonexistent")
	<-old.before.done
	if m.sup == old || old.child != nil {
		t.Error("another library, and the same child")
	}
}

func TestWithoutNVIDIANoChildIsStarted(t *testing.T) {
	dir := t.TempDir()
	addPCI(t, dir, "0000:00:02.0", vendorIntel, "0x3e92", "i915")
	addPCI(t, dir, "0000:3b:00.0", vendorNVIDIA, "0x1eb8", "vfio-pci")
	addPCI(t, dir, "0000:3c:00.0", vendorNVIDIA, "0x1eb8", "nouveau")
	env := probetest.Env(t, dir)
	if foundNVIDIA(env) {
		t.Error("found an NVIDIA GPU for us")
	}
	n := probetest.New(t, Kinds()[0], probetest.NoConfig, env).(*nvidia)
	if text, err := probetest.Collect(n); text != "" || err != nil || n.sup.child != nil {
		t.Errorf("%q, %v, child %v", text, err, n.sup.child)
	}
	writeFile(t, filepath.Join(dir, "dev/nvidiactl"), "")
	if !foundNVIDIA(env) {
		t.Error("its device node was overlooked")
	}
}

func TestBuildWithoutNVMLSaysSo(t *testing.T) {
	if nvmlchild.Built {
		t.Skip("this build has NVML")
	}
	dir := t.TempDir()
	addPCI(t, dir, first, vendorNVIDIA, "0x1eb8", "nvidia")
	n := probetest.New(t, Kinds()[0], probetest.NoConfig, probetest.Env(t, dir)).(*nvidia)
	defer n.Close()
	text, err := probetest.Collect(n)
	has(t, text, `headend_gpu_probe_state{state="not_built"} 1`, `headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 0`)
	if err == nil || !strings.Contains(err.Error(), "this build has no NVML") {
		t.Errorf("error %v", err)
	}
}

func TestLibraryMustBeAbsolute(t *testing.T) {
	_, err := newNVIDIA(func(c any) error { c.(*nvidiaConfig).Library = "libnvidia-ml.so.1"; return nil }, probetest.Env(t, t.TempDir()))
	if err == nil {
		t.Error("a relative path was taken")
	}
}

func TestModuleVersion(t *testing.T) {
	for text, want := range map[string]string{
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\nGCC version:  gcc version 12.2.0\n": "550.54.14",
		"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  590.48.01  Release Build  (dvs-builder@U22)\n":                      "590.48.01",
		"": "", "NVRM version: none\n12.5 is on another line": "",
	} {
		if got := moduleVersion([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// The smoke test of a machine with a GPU, on the fake.
func TestSmoke(t *testing.T) {
	m := newMachine(t, "t4")
	var out, said strings.Builder
	if code := nvmlchild.Main([]string{"--smoke", "--rounds=2", "--library=" + m.lib}, nil, &out, &said); code != 0 {
		t.Fatalf("exit status %d: %s", code, said.String())
	}
	for _, want := range []string{"driver 550.54.14", "GPU 0 0000:3b:00.0 Tesla T4", "temp_gpu=71", "GetFanSpeed                  3 ",
		"encoder capacity h264        0     100 %", "GetDecoderUtilization        0     22 % in 167000 us", "samples of kind 3            0     4 of 100, value type 1, from ",
		"field 197                    0     1.23456789012e+11, value type 3", "critical errors: true"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// A round with one GPU, and with eight: CPU time of agent and child for each GPU, the child's start and its fake driver included.
func BenchmarkRound(b *testing.B) {
	for _, gpus := range []int{1, 8} {
		b.Run(fmt.Sprintf("GPUs=%d", gpus), func(b *testing.B) { benchmarkRound(b, gpus) })
	}
}

func benchmarkRound(b *testing.B, gpus int) {
	m := newMachine(b, "t4", first)
	m.set("DeviceGetCount", strconv.Itoa(gpus))
	set := metric.NewSet(metric.NewTable(), 10_000)
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.ReportAllocs()
	for b.Loop() {
		set.Reset()
		if err := m.Collect(context.Background(), set); err != nil {
			b.Fatal(err)
		}
		set.End(metric.Round{Source: "test"}, func(metric.Round) {})
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	child := m.sup.child
	m.Close()
	each := func(ns int64) float64 { return float64(ns) / 1e3 / float64(b.N) / float64(gpus) }
	b.ReportMetric(each(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano()), "agent-us/GPU")
	b.ReportMetric(each((child.cmd.ProcessState.UserTime() + child.cmd.ProcessState.SystemTime()).Nanoseconds()), "child-us/GPU")
}
