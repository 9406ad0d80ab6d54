package gpu

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"headend-agent/probe/probetest"
)

// units is a fake perf_event_open. Its counters count a part of the time that has gone by.
type units struct {
	busy   map[string]float64 // the part, by TYPE/CONFIG
	start  time.Time
	denied error
	opened []string
	closed int
	loads  int // of the driver; counters of the one before are at their end
}

type fakeCounter struct {
	*units
	part float64
	load int
}

func (c fakeCounter) Read() (uint64, error) {
	if c.load != c.loads {
		return 0, io.EOF
	}
	return uint64(c.part * float64(time.Since(c.start))), nil
}
func (c fakeCounter) Close() error { c.closed++; return nil }

func (u *units) open(unit uint32, config uint64, cpu int) (event, error) {
	key := fmt.Sprintf("%d/%#x", unit, config)
	part, ok := u.busy[key]
	if u.denied != nil {
		return nil, u.denied
	}
	if !ok {
		return nil, errors.New("no such engine")
	}
	u.opened = append(u.opened, fmt.Sprintf("%s on CPU %d", key, cpu))
	return fakeCounter{u, part, u.loads}, nil
}

// i915 makes a machine with an integrated GPU.
func i915(t *testing.T) (dir string) {
	dir = t.TempDir()
	card := addPCI(t, dir, "0000:00:02.0", vendorIntel, "0x3e92", "i915")
	writeFile(t, filepath.Join(card, "drm/card0/gt_act_freq_mhz"), "1050\n")
	writeFile(t, filepath.Join(card, "drm/card0/gt_RP0_freq_mhz"), "1150\n")
	writeFile(t, filepath.Join(card, "drm/card0-HDMI-A-1/status"), "disconnected\n")
	pmu := filepath.Join(dir, "sys/bus/event_source/devices/i915")
	writeFile(t, filepath.Join(pmu, "type"), "18\n")
	writeFile(t, filepath.Join(pmu, "cpumask"), "3\n")
	for name, config := range map[string]string{"vcs0-busy": "0x2000", "vcs1-busy": "0x2010", "vecs0-busy": "0x3000", "rcs0-busy": "0x0", "bcs0-busy": "0x1000"} {
		writeFile(t, filepath.Join(pmu, "events", name), "config="+config+"\n")
		writeFile(t, filepath.Join(pmu, "events", name+".unit"), "ns")
	}
	writeFile(t, filepath.Join(pmu, "events/interrupts"), "config=0x100002\n")
	return dir
}

func TestIntelByPMU(t *testing.T) { synctest.Test(t, testIntelByPMU) }

func testIntelByPMU(t *testing.T) {
	u := &units{start: time.Now(), busy: map[string]float64{"18/0x2000": 0.75, "18/0x2010": 0, "18/0x3000": 0, "18/0x0": 1, "18/0x1000": 0}}
	p := newIntelWith(probetest.Env(t, i915(t)), u.open)
	text, err := probetest.Collect(p)
	if err != nil {
		t.Fatal(err)
	}
	has(t, text, "-flussonic_gpu_enc", "-headend_gpu_engine_utilization_ratio", `headend_gpu_up{gpu="0",pci="0000:00:02.0"} 1`)
	time.Sleep(2 * time.Second)
	text, _ = probetest.Collect(p)
	for label, want := range map[string]float64{"video": 0.75, "video0": 0.75, "video1": 0, "video_enhance": 0, "graphics": 1, "copy": 0} {
		if got := sample(t, text, `headend_gpu_engine_utilization_ratio{engine="`+label+`",gpu="0",pci="0000:00:02.0"}`); got != want {
			t.Errorf("%s is %g, want %g", label, got, want)
		}
	}
	if got := sample(t, text, `flussonic_gpu_enc{gpu="0",pci="0000:00:02.0"}`); got != 75 {
		t.Errorf("flussonic_gpu_enc is %g, want 75", got)
	}
	has(t, text, `headend_gpu_clock_hertz{domain="graphics",gpu="0",pci="0000:00:02.0"} 1.05e+09`, `headend_gpu_clock_max_hertz{domain="graphics",gpu="0",pci="0000:00:02.0"} 1.15e+09`,
		`headend_gpu_info{driver="i915",gpu="0",name="Intel 3e92",pci="0000:00:02.0",vendor="intel"} 1`, "-flussonic_gpu_dec", "-flussonic_gpu_temp")
	if len(u.opened) != 5 || u.opened[0] != "18/0x1000 on CPU 3" {
		t.Errorf("opened %v", u.opened)
	}
	p.Close()
	if u.closed != 5 {
		t.Errorf("%d of 5 counters are closed", u.closed)
	}
}

// Counters end with the driver that they count for, and are opened anew with the next; they are not kept for a GPU that went.
func TestPMUFollowsItsDriver(t *testing.T) { synctest.Test(t, testPMUFollowsItsDriver) }

func testPMUFollowsItsDriver(t *testing.T) {
	u := &units{start: time.Now(), busy: map[string]float64{"18/0x2000": 0.75, "18/0x2010": 0, "18/0x3000": 0, "18/0x0": 1, "18/0x1000": 0}}
	dir := i915(t)
	p := newIntelWith(probetest.Env(t, dir), u.open)
	const load = `flussonic_gpu_enc{gpu="0",pci="0000:00:02.0"}`
	after := func(d time.Duration) string {
		time.Sleep(d)
		text, err := probetest.Collect(p)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	after(0)
	has(t, after(2*time.Second), load+" 75")
	u.loads++
	has(t, after(2*time.Second), "-"+load)
	after(lookAgain)
	has(t, after(2*time.Second), load+" 75")
	if u.closed != 5 {
		t.Errorf("%d of 5 counters of the driver before are closed", u.closed)
	}
	os.RemoveAll(filepath.Join(dir, "sys/bus/pci/devices/0000:00:02.0"))
	after(lookAgain)
	if u.closed != 10 {
		t.Errorf("%d of 10 counters are closed", u.closed)
	}
}

func TestTemperatureOfIntegratedGPU(t *testing.T) {
	dir := i915(t)
	chips := filepath.Join(dir, "sys/class/hwmon")
	for file, text := range map[string]string{
		"hwmon0/name": "nvme", "hwmon0/temp1_input": "31000", "hwmon0/temp1_label": "Composite",
		"hwmon1/name": "coretemp", "hwmon1/temp1_input": "71300", "hwmon1/temp1_label": "Package id 0", "hwmon1/temp2_input": "69000", "hwmon1/temp2_label": "Core 0",
	} {
		writeFile(t, filepath.Join(chips, file), text+"\n")
	}
	text, _ := probetest.Collect(newIntelWith(probetest.Env(t, dir), (&units{denied: os.ErrPermission}).open))
	has(t, text, `flussonic_gpu_temp{gpu="0",pci="0000:00:02.0"} 71.3`, `headend_gpu_temperature_celsius{gpu="0",pci="0000:00:02.0",sensor="package"} 71.3`)
	card := filepath.Join(dir, "sys/bus/pci/devices/0000:00:02.0/hwmon/hwmon2") // a sensor of its own is better
	writeFile(t, filepath.Join(card, "temp1_input"), "50000\n")
	text, _ = probetest.Collect(newIntelWith(probetest.Env(t, dir), (&units{denied: os.ErrPermission}).open))
	has(t, text, `flussonic_gpu_temp{gpu="0",pci="0000:00:02.0"} 50`, `-headend_gpu_temperature_celsius{gpu="0",pci="0000:00:02.0",sensor="package"}`)
}

func TestXePMU(t *testing.T) { synctest.Test(t, testXePMU) }

func testXePMU(t *testing.T) {
	dir := t.TempDir()
	unit := filepath.Join(dir, "bus/event_source/devices/xe_0000_03_00.0")
	writeFile(t, filepath.Join(unit, "type"), "24\n")
	writeFile(t, filepath.Join(unit, "events/engine-active-ticks"), "event=0x02\n")
	writeFile(t, filepath.Join(unit, "events/engine-total-ticks"), "event=0x03\n")
	for name, bits := range map[string]string{"event": "0-11", "engine_instance": "12-19", "engine_class": "20-27", "gt": "60-63"} {
		writeFile(t, filepath.Join(unit, "format", name), "config:"+bits+"\n")
	}
	// Two video engines on the media GT, where the second is busy for a quarter of its ticks.
	u := &units{start: time.Now(), busy: map[string]float64{
		"24/0x1000000000200002": 0, "24/0x1000000000200003": 0.019,
		"24/0x1000000000202002": 0.00475, "24/0x1000000000202003": 0.019,
	}}
	p, err := openPMU(dir, card{pci: "0000:03:00.0", driver: "xe"}, u.open)
	if err != nil {
		t.Fatal(err)
	}
	p.read()
	time.Sleep(2 * time.Second)
	got := p.read()["vcs"]
	if len(got) != 2 || got[0] != 0 || got[1] != 0.25 {
		t.Errorf("video engines %v, want 0 and a quarter", got)
	}
	p.close()
	if u.closed != 4 {
		t.Errorf("%d of 4 counters are closed", u.closed)
	}
}

// open makes a process that has a DRM device open.
func open(t *testing.T, dir string, pid, fd int, fdinfo string) {
	t.Helper()
	p := filepath.Join(dir, "proc", fmt.Sprint(pid))
	writeFile(t, filepath.Join(p, "fdinfo", fmt.Sprint(fd)), fdinfo)
	link := filepath.Join(p, "fd", fmt.Sprint(fd))
	os.MkdirAll(filepath.Dir(link), 0o755)
	os.Remove(link)
	if err := os.Symlink("/dev/dri/renderD128", link); err != nil {
		t.Fatal(err)
	}
}

func TestIntelByProcessesWherePMUIsDenied(t *testing.T) {
	synctest.Test(t, testIntelByProcessesWherePMUIsDenied)
}

func testIntelByProcessesWherePMUIsDenied(t *testing.T) {
	dir := i915(t)
	info := "pos:\t0\nflags:\t0100002\ndrm-driver:\ti915\ndrm-pdev:\t0000:00:02.0\ndrm-client-id:\t%d\n" +
		"drm-engine-render:\t%d ns\ndrm-engine-video:\t%d ns\ndrm-engine-capacity-video:\t2\n"
	open(t, dir, 700, 5, fmt.Sprintf(info, 12, 1000, 5_000_000_000))
	open(t, dir, 700, 6, fmt.Sprintf(info, 12, 1000, 5_000_000_000)) // the same client once more
	open(t, dir, 701, 5, fmt.Sprintf(info, 13, 0, 9_000_000_000))
	u := &units{denied: os.ErrPermission}
	p := newIntelWith(probetest.Env(t, dir), u.open)
	text, _ := probetest.Collect(p)
	has(t, text, "-headend_gpu_engine_utilization_ratio")
	open(t, dir, 700, 5, fmt.Sprintf(info, 12, 1000, 7_000_000_000)) // 2 s of 2 engines in 2 s
	open(t, dir, 701, 5, fmt.Sprintf(info, 13, 0, 8_000_000_000))    // a step back
	time.Sleep(2 * time.Second)
	text, _ = probetest.Collect(p)
	if got := sample(t, text, `headend_gpu_engine_utilization_ratio{engine="video",gpu="0",pci="0000:00:02.0"}`); got != 0.5 {
		t.Errorf("video is %g, want half", got)
	}
	has(t, text, `headend_gpu_engine_utilization_ratio{engine="graphics",gpu="0",pci="0000:00:02.0"} 0`)
	open(t, dir, 701, 5, fmt.Sprintf(info, 13, 0, 10_000_000_000)) // since the highest, a second
	time.Sleep(2 * time.Second)
	text, _ = probetest.Collect(p)
	if got := sample(t, text, `headend_gpu_engine_utilization_ratio{engine="video",gpu="0",pci="0000:00:02.0"}`); got != 0.25 {
		t.Errorf("video is %g, want a quarter", got)
	}
	os.RemoveAll(filepath.Join(dir, "proc/700"))
	os.RemoveAll(filepath.Join(dir, "proc/701"))
	open(t, dir, 702, 5, fmt.Sprintf(info, 14, 0, 4_000_000_000)) // how long ago it did that, nobody knows
	time.Sleep(2 * time.Second)
	text, _ = probetest.Collect(p)
	has(t, text, "-headend_gpu_engine_utilization_ratio", "-flussonic_gpu_enc")
}

// The driver xe tells cycles of a clock instead of time.
func TestXeByProcesses(t *testing.T) { synctest.Test(t, testXeByProcesses) }

func testXeByProcesses(t *testing.T) {
	dir := t.TempDir()
	addPCI(t, dir, "0000:03:00.0", vendorIntel, "0x56c0", "xe")
	p := newIntelWith(probetest.Env(t, dir), (&units{}).open)
	var text string
	for i := range 2 {
		for client, busy := range []int{2_000_000, 6_000_000} { // of twice 20,000,000
			open(t, dir, 700+client, 5, fmt.Sprintf("drm-driver:\txe\ndrm-pdev:\t0000:03:00.0\ndrm-client-id:\t%d\ndrm-cycles-vcs:\t%d\n"+
				"drm-total-cycles-vcs:\t%d\ndrm-engine-capacity-vcs:\t2\ndrm-cycles-rcs:\t0\ndrm-total-cycles-rcs:\t%d\n", client, 77+i*busy, 500+i*20_000_000, 500+i*20_000_000))
		}
		time.Sleep(time.Second)
		text, _ = probetest.Collect(p)
	}
	if got := sample(t, text, `flussonic_gpu_enc{gpu="0",pci="0000:03:00.0"}`); got != 20 {
		t.Errorf("flussonic_gpu_enc is %g, want 20", got)
	}
	has(t, text, `headend_gpu_engine_utilization_ratio{engine="video",gpu="0",pci="0000:03:00.0"} 0.2`, `headend_gpu_engine_utilization_ratio{engine="graphics",gpu="0",pci="0000:03:00.0"} 0`)
}

// A counter that every machine has: the clock of a CPU.
func TestOpenPerf(t *testing.T) {
	e, err := openPerf(unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_CPU_CLOCK, 0)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		t.Skipf("this machine does not let us: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	before, err1 := e.Read()
	time.Sleep(time.Millisecond)
	after, err2 := e.Read()
	if err1 != nil || err2 != nil || after < before+uint64(time.Millisecond) {
		t.Errorf("%d, %v; a millisecond later %d, %v", before, err1, after, err2)
	}
	if _, err := openPerf(unix.PERF_TYPE_SOFTWARE, 1<<40, 0); err == nil {
		t.Error("a counter that there is not was opened")
	}
}

// amdgpu makes a machine with one, beside one of NVIDIA's, which has the first index.
func amdgpu(t *testing.T) (dir string) {
	dir = t.TempDir()
	addPCI(t, dir, "0000:3b:00.0", vendorNVIDIA, "0x1eb8", "nvidia")
	card := addPCI(t, dir, "0000:03:00.0", vendorAMD, "0x743f", "amdgpu")
	for file, text := range map[string]string{
		"drm/card1/dev": "226:1", "gpu_busy_percent": "17", "vcn_busy_percent": "0", "mem_info_vram_total": "4278190080", "mem_info_vram_used": "300000000",
		"hwmon/hwmon3/temp1_input": "44000", "hwmon/hwmon3/temp1_label": "edge", "hwmon/hwmon3/temp2_input": "47500", "hwmon/hwmon3/temp2_label": "junction",
		"hwmon/hwmon3/temp3_input": "garbage", "hwmon/hwmon3/power1_average": "12500000", "hwmon/hwmon3/power1_cap": "55000000",
		"hwmon/hwmon3/pwm1": "51", "hwmon/hwmon3/pwm1_max": "255", "hwmon/hwmon3/freq1_input": "2100000000", "hwmon/hwmon3/freq2_input": "1000000000",
	} {
		writeFile(t, filepath.Join(card, file), text+"\n")
	}
	return dir
}

func TestAMD(t *testing.T) { synctest.Test(t, testAMD) }

func testAMD(t *testing.T) {
	dir := amdgpu(t)
	info := "drm-driver:\tamdgpu\ndrm-pdev:\t0000:03:00.0\ndrm-client-id:\t7\npasid:\t32770\ndrm-memory-vram:\t1024 KiB\ndrm-engine-gfx:\t5 ns\ndrm-engine-enc:\t%d ns\n"
	open(t, dir, 900, 4, fmt.Sprintf(info, 1_000_000_000))
	p := probetest.New(t, Kinds()[2], probetest.NoConfig, probetest.Env(t, dir)).(*amd)
	text, err := probetest.Collect(p)
	if err != nil {
		t.Fatal(err)
	}
	probetest.Golden(t, "testdata/amd.txt", text)
	open(t, dir, 900, 4, fmt.Sprintf(info, 2_000_000_000))
	time.Sleep(2 * time.Second)
	text, _ = probetest.Collect(p)
	if got := sample(t, text, `flussonic_gpu_enc{gpu="1",pci="0000:03:00.0"}`); got != 50 { // though the chip says 0
		t.Errorf("flussonic_gpu_enc is %g, want 50", got)
	}
	has(t, text, "-flussonic_gpu_dec", `-headend_gpu_engine_utilization_ratio{engine="dec"`) // VCN 4 has it all under enc
	for i := range uint64(2) {
		open(t, dir, 900, 4, fmt.Sprintf(info+"drm-engine-dec:\t%d ns\n", 2_000_000_000, 5_000_000_000+i*1_500_000_000))
		time.Sleep(2 * time.Second)
		text, _ = probetest.Collect(p)
	}
	if got := sample(t, text, `flussonic_gpu_dec{gpu="1",pci="0000:03:00.0"}`); got != 75 {
		t.Errorf("flussonic_gpu_dec is %g, want 75", got)
	}
	os.RemoveAll(filepath.Join(dir, "proc/900"))
	writeFile(t, filepath.Join(dir, "sys/bus/pci/devices/0000:03:00.0/vcn_busy_percent"), "30\n")
	time.Sleep(2 * time.Second)
	text, _ = probetest.Collect(p)
	has(t, text, `flussonic_gpu_enc{gpu="1",pci="0000:03:00.0"} 30`, "-flussonic_gpu_dec") // nobody is seen to use it
}

func TestCardOfAnotherIsNotOurs(t *testing.T) {
	dir := t.TempDir()
	addPCI(t, dir, "0000:03:00.0", vendorAMD, "0x743f", "vfio-pci")
	addPCI(t, dir, "0000:04:00.0", "0x1a03", "0x2000", "ast") // the console of a server
	for _, k := range Kinds() {
		if k.Auto(probetest.Env(t, dir)) {
			t.Errorf("%s found a GPU", k.Name)
		}
	}
}

// The agent starts beside the drivers.
func TestDriverThatComesLater(t *testing.T) { synctest.Test(t, testDriverThatComesLater) }

func testDriverThatComesLater(t *testing.T) {
	dir := t.TempDir()
	addPCI(t, dir, "0000:00:02.0", vendorIntel, "0x3e92", "")
	env := probetest.Env(t, dir)
	if !Kinds()[1].Auto(env) {
		t.Fatal("the GPU was not found")
	}
	p := newIntelWith(env, (&units{denied: os.ErrPermission}).open)
	if text, err := probetest.Collect(p); text != "" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	addPCI(t, dir, "0000:00:02.0", vendorIntel, "0x3e92", "i915")
	time.Sleep(lookAgain)
	text, _ := probetest.Collect(p)
	has(t, text, `headend_gpu_info{driver="i915",gpu="0",name="Intel 3e92",pci="0000:00:02.0",vendor="intel"} 1`)
}

func TestNoBus(t *testing.T) {
	for _, k := range Kinds() {
		env := probetest.Env(t, t.TempDir())
		if text, err := probetest.Collect(probetest.New(t, k, probetest.NoConfig, env)); text != "" || err != nil || k.Auto(env) {
			t.Errorf("%s: %q, %v", k.Name, text, err)
		}
	}
}

// A process without a GPU is not looked at in every round; one that opens it later is found all the same.
func TestProcessThatOpensTheGPULater(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "proc/800/fd/0"), "")
	c := newClients(filepath.Join(dir, "proc"))
	for range lookEvery {
		c.read(t.Context())
	}
	open(t, dir, 800, 4, "drm-pdev:\t0000:03:00.0\ndrm-client-id:\t7\ndrm-engine-enc:\t5 ns\n")
	for range lookEvery {
		c.read(t.Context())
	}
	if len(c.known) != 1 {
		t.Errorf("%d clients, want 1", len(c.known))
	}
	os.RemoveAll(filepath.Join(dir, "proc/800"))
	c.read(t.Context())
	if len(c.known) != 0 || len(c.holds) != 0 {
		t.Error("a process that is gone is remembered")
	}
}

// sample returns the value of a series in an exposition.
func sample(t *testing.T, text, series string) float64 {
	t.Helper()
	var v float64
	for line := range strings.Lines(text) {
		if n, _ := fmt.Sscanf(line, series+" %g", &v); n == 1 {
			return v
		}
	}
	t.Errorf("no %s in\n%s", series, text)
	return -1
}
