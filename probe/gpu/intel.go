package gpu

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// intel reads Intel's GPUs: their engines by the PMU of the driver, or where that is not allowed by the fdinfo of the processes that use
// them; the rest by sysfs.
type intel struct {
	env     probe.Env
	bus     bus
	open    openEvent
	pmus    map[string]*pmu // by PCI address
	clients *clients
	denied  bool // the PMU, and it has been said
}

// intelEngines are the engines that are published, by the PMU's name, the fdinfo name of i915, and the value of the label.
var intelEngines = []struct{ class, user, label string }{
	{"vcs", "video", "video"},
	{"vecs", "video-enhance", "video_enhance"},
	{"rcs", "render", "graphics"},
	{"ccs", "compute", "compute"},
	{"bcs", "copy", "copy"},
}

func newIntel(decode func(any) error, env probe.Env) (probe.Probe, error) {
	if err := decode(&struct{}{}); err != nil {
		return nil, err
	}
	return newIntelWith(env, openPerf), nil
}

func newIntelWith(env probe.Env, open openEvent) *intel {
	return &intel{env: env, bus: bus{sys: env.Sys, wanted: of(vendorIntel)}, open: open, pmus: map[string]*pmu{}, clients: newClients(env.Proc)}
}

// Close closes the counters.
func (p *intel) Close() error {
	for _, u := range p.pmus {
		u.close()
	}
	return nil
}

func (p *intel) Collect(ctx context.Context, out *metric.Set) error {
	found, fresh, err := p.bus.cards()
	if err != nil {
		return err
	}
	if fresh {
		p.openMissing(found)
	}
	var users map[string]share
	if len(p.pmus) < len(found) {
		users = p.clients.read(ctx)
	}
	for _, c := range found {
		p.card(out, c, users[c.pci])
	}
	return nil
}

// openMissing opens the PMUs that are not open yet. It closes those of GPUs that went, and those that answer no more: their driver was
// loaded anew.
func (p *intel) openMissing(found []card) {
	for pci, u := range p.pmus {
		if u.dead || !slices.ContainsFunc(found, func(c card) bool { return c.pci == pci }) {
			u.close()
			delete(p.pmus, pci)
		}
	}
	for _, c := range found {
		if p.pmus[c.pci] != nil {
			continue
		}
		u, err := openPMU(p.env.Sys, c, p.open)
		if err == nil {
			p.pmus[c.pci] = u
		} else if !p.denied {
			p.denied = true
			p.env.Log.Info("no counters of the whole GPU; its load is what the visible processes make of it", "pci", c.pci, "error", err)
		}
	}
}

func (p *intel) card(out *metric.Set, c card, users share) {
	drm := drmDir(c)
	addCard(out, c, "intel", "Intel "+strings.TrimPrefix(c.device, "0x"), drm != "")
	if u := p.pmus[c.pci]; u != nil {
		p.addEngines(out, c, u.read())
	} else if users != nil {
		p.addUsers(out, c, users)
	}
	if drm != "" { // MHz
		addFirst(out, clockNow, c, mega, []string{drm + "/gt/gt0/rps_act_freq_mhz", drm + "/gt_act_freq_mhz", "tile0/gt0/freq0/act_freq"}, "graphics")
		addFirst(out, clockMax, c, mega, []string{drm + "/gt/gt0/rps_RP0_freq_mhz", drm + "/gt_RP0_freq_mhz", "tile0/gt0/freq0/rp0_freq"}, "graphics")
	}
	if !addSensors(out, c, "pkg", "gpu") {
		addPackage(out, p.env.Sys, c)
	}
}

// addPackage adds the temperature of the processor, which that of a GPU inside it is.
func addPackage(out *metric.Set, sys string, c card) {
	if c.pci != integrated {
		return
	}
	chips := filepath.Join(sys, "class/hwmon")
	entries, _ := os.ReadDir(chips)
	for _, e := range entries {
		dir := filepath.Join(chips, e.Name())
		if readLine(dir, "name") != "coretemp" || !strings.HasPrefix(readLine(dir, "temp1_label"), "Package") {
			continue
		}
		if v, ok := readNumber(filepath.Join(dir, "temp1_input")); ok { // millidegrees
			out.Add(temperature, scaled(v, milli), c.label(), c.pci, "package")
			out.Add(flussonicTemp, scaled(v, milli), c.label(), c.pci)
		}
		return
	}
}

// addEngines adds the busiest engine of each class, since a stream cannot use two, and each by itself where there are more.
func (p *intel) addEngines(out *metric.Set, c card, shares map[string][]float64) {
	for _, e := range intelEngines {
		of := shares[e.class]
		if len(of) == 0 {
			continue
		}
		out.Add(engineRatio, slices.Max(of), c.label(), c.pci, e.label)
		if e.class == "vcs" {
			out.Add(flussonicEnc, slices.Max(of)*100, c.label(), c.pci)
		}
		for i := 0; i < len(of) && len(of) > 1; i++ {
			out.Add(engineRatio, of[i], c.label(), c.pci, e.label+strconv.Itoa(i))
		}
	}
}

func (p *intel) addUsers(out *metric.Set, c card, s share) {
	for _, e := range intelEngines {
		v := max(s[e.user], s[e.class]) // of i915, of xe
		out.Add(engineRatio, v, c.label(), c.pci, e.label)
		if e.class == "vcs" {
			out.Add(flussonicEnc, v*100, c.label(), c.pci)
		}
	}
}
