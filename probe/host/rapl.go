package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"

	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// raplDescs are the zones that Intel's and AMD's processors have.
var raplDescs = []*metric.Desc{raplDesc("package"), raplDesc("core"), raplDesc("uncore"), raplDesc("dram"), raplDesc("psys")}

func raplDesc(zone string) *metric.Desc {
	return &metric.Desc{Name: "node_rapl_" + familyName(zone) + "_joules_total", Help: "Energy that " + zone + " has used.",
		Type: metric.Counter, Unit: metric.Joules, Labels: []string{"index", "path"}}
}

var notInName = regexp.MustCompile(`_*[^0-9A-Za-z_]+_*`)

// familyName makes part of a metric name of what the kernel or a driver calls a thing.
func familyName(s string) string { return notInName.ReplaceAllString(s, "_") }

// rapl reads the energy counters in /sys/class/powercap.
type rapl struct {
	fs    sysfs.FS
	zones map[string]*metric.Desc
}

func newRAPL(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := sysfs.NewFS(env.Sys)
	if err != nil {
		return nil, fmt.Errorf("open sysfs: %w", err)
	}
	return rapl{fs, map[string]*metric.Desc{}}, nil
}

func (p rapl) Collect(_ context.Context, out *metric.Set) error {
	zones, err := sysfs.GetRaplZones(p.fs)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list RAPL zones: %w", err)
	}
	for _, z := range zones {
		energy, err := z.GetEnergyMicrojoules()
		if errors.Is(err, fs.ErrPermission) {
			continue // root alone may read it since kernel 5.10
		}
		if err != nil {
			return fmt.Errorf("read RAPL zone %s: %w", z.Name, err)
		}
		d := p.zones[z.Name]
		if d == nil {
			d = raplDesc(z.Name)
			p.zones[z.Name] = d
		}
		out.Add(d, float64(energy)/1e6, strconv.Itoa(z.Index), z.Path)
	}
	return nil
}
