package e2e

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// guest is what dvb_guest.sh has brought back from the machine.
type guest struct {
	t   *testing.T
	dir string
}

// The agent reads real DVB drivers of a real kernel, as the package installs it, and disturbs nobody.
func TestDVB(t *testing.T) {
	scripts := vmScripts(t)
	g := runGuest(t, scripts)
	t.Run("the shipped unit", g.unit)
	t.Run("levels equal those of dvb-fe-tool", g.levels)
	t.Run("opens and asks no more than it must", g.calls)
	t.Run("says why it cannot read", g.reasons)
	t.Run("follows modules and adapters", g.comesAndGoes)
	t.Run("knows every scale", g.scales)
	t.Run("cards are called as the media server calls them", g.cards)
	t.Run("moving counters", g.counters)
	t.Run("errors cost their own frontend", g.broken)
	t.Run("a slow frontend costs its own series", g.slow)
	t.Run("siblings that exclude each other", g.siblings)
	t.Run("satellite", g.satellite)
	t.Run("touches nothing idle", g.idle)
	t.Run("journal", g.journal)
}

func runGuest(t *testing.T, scripts string) guest {
	deb := filepath.Join(packages(t, newVersion), newDeb)
	dir := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "agent386"), "./cmd/agent")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=386")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for 386: %v\n%s", err, out)
	}
	vmReady.Do(func() { must(t, nil, scripts+"/prepare.sh") })
	g := guest{t, filepath.Join(dir, "out")}
	start := time.Now()
	out, err := run(t, nil, scripts+"/run.sh", "-t", "900", "-o", g.dir, "-f", deb+":agent.deb", "-f", filepath.Join(dir, "agent386"), "-s", "dvb_guest.sh")
	t.Logf("in the machine, %s:\n%s", time.Since(start).Round(time.Second), out)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g guest) read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// metrics is an exposition of the guest's; its names go without the prefix.
type metrics struct {
	t     *testing.T
	name  string
	lines []string
}

func (g guest) metrics(t *testing.T, name string) metrics {
	t.Helper()
	return metrics{t, name, strings.Split(g.read(t, name+".metrics"), "\n")}
}

// find returns the value of the only series of a family with these labels, each as name="value".
func (m metrics) find(family string, labels ...string) (value float64, found bool) {
	m.t.Helper()
lines:
	for _, line := range m.lines {
		rest, ok := strings.CutPrefix(strings.TrimPrefix(line, "headend_dvb_"), family)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, "{"+l) && !strings.Contains(rest, ","+l) {
				continue lines
			}
		}
		if found {
			m.t.Fatalf("%s: %s %v is more than one series", m.name, family, labels)
		}
		v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			m.t.Fatal(err)
		}
		value, found = v, true
	}
	return value, found
}

func label(name, value string) string { return fmt.Sprintf("%s=%q", name, value) }

// at is the labels of adapter's frontend, "3.0", and more.
func at(frontend string, more ...string) []string {
	a, f, _ := strings.Cut(frontend, ".")
	return append([]string{label("adapter", a), label("frontend", f)}, more...)
}

func (m metrics) want(value float64, family string, labels ...string) {
	m.t.Helper()
	if v, ok := m.find(family, labels...); !ok || math.Abs(v-value) > 1e-9*math.Abs(value) {
		m.t.Errorf("%s: %s %v is %v (found: %v), not %v", m.name, family, labels, v, ok, value)
	}
}

func (m metrics) absent(labels []string, families ...string) {
	m.t.Helper()
	for _, f := range families {
		if v, ok := m.find(f, labels...); ok {
			m.t.Errorf("%s: %s %v is %v, and should be absent", m.name, f, labels, v)
		}
	}
}

// toolLine is what dvb-fe-tool -m prints of a tuned frontend.
var toolLine = regexp.MustCompile(`\(0x([0-9a-f]+)\)(?:.*?Signal= *(-?[0-9.]+)(dBm|%))?(?:.*?C/N= *(-?[0-9.]+)(dB|%))?`)

// vidtv adds noise to each reading: up to half a decibel either way.
const noise = 1.5

// The service is the one of the package, and nothing is added to it; it has run through all that.
func (g guest) unit(t *testing.T) {
	shipped, err := os.ReadFile("../systemd/headend-agent.service")
	if err != nil {
		t.Fatal(err)
	}
	if g.read(t, "unit") != string(shipped) {
		t.Error("the unit is not the shipped one")
	}
	service := g.read(t, "service")
	for _, want := range []string{
		"ActiveState=active", "SubState=running", "Type=notify", "User=headend-agent", "WatchdogUSec=1min", "NRestarts=0",
		"FragmentPath=/lib/systemd/system/headend-agent.service", "DropInPaths=",
	} {
		if !strings.Contains("\n"+service, "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, service)
		}
	}
	if id := g.read(t, "id"); !strings.Contains(id, "(video)") {
		t.Errorf("the user is %s", id)
	}
	if n := strings.TrimSpace(g.read(t, "before.devices")); n != "0" {
		t.Error("dvb_core was loaded before the service began")
	}
}

func (g guest) levels(t *testing.T) {
	for _, channel := range []string{"GOOD", "FAIR", "WEAK", "NONE"} {
		m := g.metrics(t, "vidtv-"+channel)
		tool := toolLine.FindStringSubmatch(g.read(t, "vidtv-"+channel+".fe"))
		if tool == nil {
			t.Fatalf("dvb-fe-tool printed %q", g.read(t, "vidtv-"+channel+".fe"))
		}
		status, _ := strconv.ParseUint(tool[1], 16, 32)
		for i, f := range []string{"signal", "carrier", "viterbi", "sync", "lock", "timedout", "reinit"} {
			m.want(float64(status>>i&1), "frontend_status", at("0.0", label("flag", f))...)
		}
		m.want(1, "frontend_in_use", at("0.0")...)
		m.want(1, "frontend_up", at("0.0")...)
		m.want(float64(status>>4&1), "frontend_locked", at("0.0")...)
		if channel == "NONE" {
			m.absent(at("0.0"), "frontend_signal_strength_dbm", "frontend_cnr_decibels", "frontend_block_errors_total")
			m.want(600e6, "frontend_frequency_hertz", at("0.0", label("system", "DVB-T"))...)
			continue
		}
		for i, family := range []string{"frontend_signal_strength_dbm", "frontend_cnr_decibels"} {
			theirs, _ := strconv.ParseFloat(tool[2+2*i], 64)
			ours, ok := m.find(family, at("0.0")...)
			if !ok || math.Abs(ours-theirs) > noise {
				t.Errorf("%s: %s is %v (found: %v), dvb-fe-tool says %v", channel, family, ours, ok, theirs)
			}
			t.Logf("%s: %s %v, dvb-fe-tool %v", channel, family, ours, theirs)
		}
		m.want(0, "frontend_block_errors_total", at("0.0")...)
		m.want(1, "frontend_info", at("0.0", label("name", "Dummy demod for DVB-T/T2/C/S/S2"), label("driver", "vidtv"), label("path", "platform-vidtv.0"),
			label("port", "0"), label("systems", "DVB-T,DVB-T2,DVB-C/A,DVB-S,DVB-S2"))...)
	}
	cnr, _ := g.metrics(t, "vidtv-386").find("frontend_cnr_decibels", at("0.0")...)
	if good, _ := g.metrics(t, "vidtv-GOOD").find("frontend_cnr_decibels", at("0.0")...); math.Abs(cnr-good) > noise {
		t.Errorf("a 32-bit agent reads a C/N of %v dB, a 64-bit one %v", cnr, good)
	}
}

func (g guest) calls(t *testing.T) {
	for _, name := range []string{"vidtv-GOOD", "vidtv-386"} {
		trace := g.read(t, name+".strace")
		opens := 0
		for line := range strings.Lines(trace) {
			switch {
			case strings.Contains(line, "/dev/dvb"):
				opens++
				if !strings.Contains(line, `"/dev/dvb/adapter0/frontend0", O_RDONLY|`) {
					t.Errorf("%s: %s", name, line)
				}
			case !regexp.MustCompile(`FE_(READ_STATUS|GET_PROPERTY|READ_SIGNAL_STRENGTH|GET_INFO)\b`).MatchString(line):
				t.Errorf("%s: %s", name, line)
			}
		}
		if opens != 1 {
			t.Errorf("%s: %d opens:\n%s", name, opens, trace)
		}
	}
	// A tuner that has left leaves a lock and levels in vidtv; nobody is to ask.
	for _, name := range []string{"vidtv-idle", "vidtv-left"} {
		if trace := g.read(t, name+".strace"); trace != "" {
			t.Errorf("%s: touched, though not in use:\n%s", name, trace)
		}
		m := g.metrics(t, name)
		m.want(0, "frontend_in_use", at("0.0")...)
		m.absent(at("0.0"), "frontend_up", "frontend_locked", "frontend_cnr_decibels", "flussonic_dvb_card_strength")
	}
}

func (g guest) reasons(t *testing.T) {
	for name, want := range map[string]string{
		"vidtv-idle": "nobody has it open", "vidtv-NONE": "without a lock", "nogroup": "group video", "policy": "DeviceAllow=char-212",
		"hidden": "ProtectProc=invisible",
	} {
		if text := g.read(t, name+".stderr"); !strings.Contains(text, "adapter0.frontend0") || !strings.Contains(text, want) {
			t.Errorf("%s: %q is not in %q", name, want, text)
		}
	}
	for _, name := range []string{"nogroup", "policy"} {
		g.metrics(t, name).want(0, "frontend_up", at("0.0")...)
		g.metrics(t, name).want(1, "frontend_errors_total", at("0.0", label("reason", "denied"))...)
	}
	for name, want := range map[string][]string{ // the level, what was found, and what helps
		"before": {"ok    dvb", "no driver has found a DVB device"}, "tuned": {"ok    dvb", "1 found"}, "left": {"ok    dvb", "nobody has it open for tuning"},
		"nogroup": {"fail  dvb", "not allowed to this user", "→ put the agent's user into the group video"},
		"policy":  {"fail  dvb", "kept away by a device policy", "→ add DeviceAllow=char-212 r to the unit"},
		"hidden":  {"warn  dvb", "kernel threads are hidden", "→ run it without ProtectProc=invisible"},
	} {
		text := g.read(t, name+".doctor")
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: the doctor does not say %q, but\n%s", name, w, text)
			}
		}
	}
	g.metrics(t, "hidden").absent(at("0.0"), "frontend_in_use", "frontend_up", "frontend_locked")
}

func (g guest) comesAndGoes(t *testing.T) {
	for name, n := range map[string]float64{"before": 0, "vidtv": 1, "idle": 8, "tuned": 8, "unplugged": 7, "reloaded": 7, "replugged": 8, "renumbered": 7, "shared-idle": 2, "satellite": 1, "after": 0} {
		g.metrics(t, name).want(n, "adapters")
	}
	gone := g.metrics(t, "unplugged")
	gone.absent(at("2.0"), "frontend_info", "frontend_in_use", "frontend_up", "frontend_locked", "frontend_cnr_decibels")
	g.metrics(t, "vidtv").want(1, "frontend_locked", at("0.0")...)
	for _, name := range []string{"tuned", "unplugged", "reloaded", "replugged"} {
		g.metrics(t, name).want(1, "frontend_locked", at("3.0", label("port", "3"))...)
	}
	back := g.metrics(t, "replugged")
	back.want(14.5, "frontend_cnr_decibels", at("2.0", label("port", "2"))...)
	back.want(1, "frontend_info", at("2.0", label("name", "dvbsim tuner 2.0 (DVB-T/T2/C)"))...)
	g.metrics(t, "renumbered").want(1, "frontend_info", at("0.0", label("name", "dvbsim tuner 5.0 (DVB-T/T2/C)"))...)
	if held := g.read(t, "replugged.open"); held != "" {
		t.Errorf("the agent keeps open:\n%s", held)
	}
}

func (g guest) scales(t *testing.T) {
	m := g.metrics(t, "tuned")
	v3 := []string{"frontend_v3_strength_raw", "frontend_v3_snr_raw", "frontend_v3_ber_raw", "frontend_v3_uncorrected_raw"}
	m.want(-45, "frontend_signal_strength_dbm", at("0.0")...)
	m.want(14.5, "frontend_cnr_decibels", at("0.0")...)
	m.want(75, "flussonic_dvb_card_strength", at("0.0", label("name", "Roof, dish 1"))...)
	m.absent(at("0.0"), append(v3, "frontend_signal_strength_ratio", "frontend_cnr_ratio")...)

	m.want(40000./65535, "frontend_signal_strength_ratio", at("1.0")...)
	m.want(50000./65535, "frontend_cnr_ratio", at("1.0")...)
	m.want(61, "flussonic_dvb_card_strength", at("1.0")...)
	m.absent(at("1.0"), append(v3, "frontend_signal_strength_dbm", "frontend_cnr_decibels")...)

	m.want(-45, "frontend_signal_strength_dbm", at("2.0")...)
	m.want(30000./65535, "frontend_signal_strength_ratio", at("2.0")...)
	m.want(52000./65535, "frontend_cnr_ratio", at("2.0")...)

	for i, raw := range []float64{0xc000, 145, 12, 0} {
		m.want(raw, v3[i], at("3.0")...)
	}
	m.absent(at("3.0"), "frontend_signal_strength_dbm", "frontend_signal_strength_ratio", "frontend_cnr_decibels", "frontend_cnr_ratio",
		"frontend_pre_fec_bits_total", "frontend_blocks_total")
	for i, want := range []string{"-45.00dBm", "61.04%", "-45.00dBm", "75.00%"} {
		if tool := g.read(t, fmt.Sprintf("sim-%d.fe", i)); !strings.Contains(tool, want) {
			t.Errorf("dvb-fe-tool does not see %s on adapter %d, but %q", want, i, tool)
		}
	}
}

// The server's view and ours have the same numbers as labels. Its name of a card goes behind the configured one, over a reload, and
// away when the server has none.
func (g guest) cards(t *testing.T) {
	for _, name := range []string{"tuned", "unplugged", "reloaded"} {
		m := g.metrics(t, name)
		m.want(75, "flussonic_dvb_card_strength", at("0.0", label("name", "Roof, dish 1"))...)
		m.want(61, "flussonic_dvb_card_strength", at("1.0", label("name", "Astra 19.2E"))...)
		m.want(75, "flussonic_dvb_card_strength", at("3.0", label("name", "adapter3.frontend0"))...)
		m.want(0.61, "headend_server_dvb_strength_ratio", at("1.0", label("card", "Astra 19.2E"))...)
		m.want(1, "headend_server_dvb_locked", at("0.0", label("card", "a16"))...)
		m.absent(at("2.0"), "headend_server_dvb_strength_ratio") // of other hardware, whose numbers are others
	}
	g.metrics(t, "tuned").want(75, "flussonic_dvb_card_strength", at("2.0", label("name", "adapter2.frontend0"))...)
	g.metrics(t, "replugged").want(61, "flussonic_dvb_card_strength", at("1.0", label("name", "adapter1.frontend0"))...)
}

func (g guest) counters(t *testing.T) {
	before, after := g.metrics(t, "tuned"), g.metrics(t, "tuned-later")
	grown := map[string]float64{}
	for _, f := range []string{"pre_fec_bit_errors", "post_fec_bit_errors", "block_errors", "pre_fec_bits", "post_fec_bits", "blocks"} {
		was, ok := before.find("frontend_"+f+"_total", at("0.0")...)
		is, ok2 := after.find("frontend_"+f+"_total", at("0.0")...)
		if grown[f] = is - was; !ok || !ok2 || is <= was {
			t.Errorf("%s: %v, then %v", f, was, is)
		}
	}
	// dvbsim counts 5 errors and 1000 blocks at each of its status reads.
	if grown["blocks"] != 200*grown["block_errors"] || grown["pre_fec_bits"] != grown["blocks"] {
		t.Errorf("grown by %v", grown)
	}
}

func (g guest) broken(t *testing.T) {
	m := g.metrics(t, "broken")
	m.absent(at("0.0"), "frontend_cnr_decibels", "frontend_signal_strength_dbm")
	m.want(1, "frontend_locked", at("0.0")...)
	if n, _ := m.find("frontend_errors_total", at("0.0", label("reason", "implausible"))...); n < 3 {
		t.Errorf("%v implausible values counted, two a round expected", n)
	}
	m.want(0, "frontend_up", at("1.0")...) // EREMOTEIO
	if n, _ := m.find("frontend_errors_total", at("1.0", label("reason", "io"))...); n < 2 {
		t.Errorf("%v failed readings counted", n)
	}
	m.want(1, "frontend_up", at("2.0")...) // EAGAIN: asleep, and no error
	m.want(0, "frontend_errors_total", at("2.0", label("reason", "other"))...)
	m.want(1, "frontend_status", at("3.0", label("flag", "carrier"))...)
	m.want(0, "frontend_locked", at("3.0")...)
	for _, dark := range []string{"1.0", "2.0", "3.0"} {
		m.absent(at(dark), "frontend_cnr_decibels", "frontend_cnr_ratio", "frontend_blocks_total", "frontend_v3_snr_raw")
	}
	m.absent(at("1.0"), "frontend_locked", "flussonic_dvb_card_strength")
	m.absent(at("2.0"), "frontend_locked", "flussonic_dvb_card_strength")
}

func (g guest) slow(t *testing.T) {
	m := g.metrics(t, "slow")
	m.want(0, "frontend_up", at("1.0")...)
	m.want(1, "frontend_in_use", at("1.0")...)
	m.absent(at("1.0"), "frontend_locked", "frontend_cnr_ratio", "flussonic_dvb_card_strength")
	if n, _ := m.find("frontend_errors_total", at("1.0", label("reason", "timeout"))...); n < 2 {
		t.Errorf("%v late readings counted", n)
	}
	for _, well := range []string{"0.0", "2.0"} {
		m.want(14.5, "frontend_cnr_decibels", at(well)...)
	}
	// One call hangs in the kernel, and no second one waits behind it.
	if held := g.read(t, "slow.open"); strings.Count(held, "adapter1/frontend0") > 1 {
		t.Errorf("the agent has open:\n%s", held)
	}
	m = g.metrics(t, "fast")
	m.want(1, "frontend_up", at("1.0")...)
	m.want(50000./65535, "frontend_cnr_ratio", at("1.0")...)
}

// tuneLine is a tuner's attempt: frontend, result, milliseconds.
var tuneLine = regexp.MustCompile(`(?m)^(\d\.\d) (\w+) (\d+)$`)

func (g guest) siblings(t *testing.T) {
	tunes := tuneLine.FindAllStringSubmatch(g.read(t, "shared.tunes"), -1)
	if len(tunes) != 8 {
		t.Fatalf("%d attempts to tune", len(tunes))
	}
	for _, a := range tunes {
		t.Logf("%s: %s after %s ms", a[1], a[2], a[3])
		if a[2] != "opened" {
			t.Errorf("the tuner's open of %s was refused after %s ms", a[1], a[3])
		}
	}
	for used, idle := range map[string]string{"0.0": "0.1", "0.1": "0.0"} {
		for _, name := range []string{"shared-", "slow-shared-"} {
			m := g.metrics(t, name+used)
			m.want(1, "frontend_in_use", at(used)...)
			m.want(0, "frontend_in_use", at(idle)...)
			m.absent(at(idle), "frontend_up", "frontend_locked")
			m.want(0, "frontend_errors_total", at(idle, label("reason", "busy"))...)
			m.want(0, "frontend_errors_total", at(used, label("reason", "busy"))...)
		}
		g.metrics(t, "shared-"+used).want(1, "frontend_locked", at(used)...)
	}
}

func (g guest) satellite(t *testing.T) {
	m := g.metrics(t, "satellite")
	m.want(1.5e9, "frontend_frequency_hertz", at("0.0", label("system", "DVB-S2"))...) // 11.25 GHz less the LNB's 9.75
	m.want(145, "frontend_v3_snr_raw", at("0.0")...)
	m.absent(at("0.0"), "frontend_cnr_decibels", "frontend_cnr_ratio")
}

// showLine is dvbsim's own count of what was done to a frontend.
var showLine = regexp.MustCompile(`(?m)^(\d\.\d) awake=\d tuned=\d init=(\d+) sleep=(\d+) bus=(\d+) tune=(\d+) status_reads=(\d+)`)

func (g guest) idle(t *testing.T) {
	tuned := map[string][]string{ // frontends that were in use, by snapshot
		"idle": nil, "tuned": {"0.0", "1.0", "2.0", "3.0"}, "slow": {"0.0", "1.0", "2.0", "3.0"}, "replugged": {"0.0", "1.0", "2.0", "3.0"},
		"renumbered": {"1.0", "2.0", "3.0", "5.0"}, "shared-idle": nil, "shared-0.1": {"0.0", "0.1"},
	}
	for name, used := range tuned {
		idle := 0
		for _, line := range showLine.FindAllStringSubmatch(g.read(t, name+".show"), -1) {
			inUse := false
			for _, u := range used {
				inUse = inUse || u == line[1]
			}
			init, bus := line[2], line[4]
			if inUse {
				// Each time somebody tuned it the frontend woke, and its bus was taken, once: our opens add nothing.
				if tunes := line[5]; init != tunes || bus != tunes {
					t.Errorf("%s: more was done to a tuned frontend than its tuner did: %s", name, line[0])
				}
				continue
			}
			idle++
			if !strings.HasSuffix(line[0], "init=0 sleep=0 bus=0 tune=0 status_reads=0") {
				t.Errorf("%s: an idle frontend was touched: %s", name, line[0])
			}
		}
		if idle == 0 {
			t.Errorf("%s: no idle frontend was there to look at", name)
		}
	}
}

func (g guest) journal(t *testing.T) {
	text := g.read(t, "journal")
	for _, want := range []string{"reason=io", "remote I/O error", "reason=timeout", "can be read again"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the journal", want)
		}
	}
	if n := strings.Count(text, "frontend cannot be read"); n > 10 {
		t.Errorf("%d warnings: once per change of state is enough", n)
	}
	if text := g.read(t, "kernel"); text != "" {
		t.Errorf("the kernel complains:\n%s", text)
	}
	if r := strings.TrimSpace(g.read(t, "result")); r != "success" {
		t.Errorf("the service ended as %q", r)
	}
	t.Logf("journal of the service:\n%s", text)
}
