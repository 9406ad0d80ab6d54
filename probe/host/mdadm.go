package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	mdState = mdDesc("state", "Whether the array is in this state.", "device", "state")
	mdDisks = mdDesc("disks", "Disks of the array by state.", "device", "state")

	mdParts = []row[procfs.MDStat]{
		{mdDesc("disks_required", "Disks that the array needs to be whole.", "device"), func(m *procfs.MDStat) float64 { return float64(m.DisksTotal) }},
		{mdDesc("blocks", "Blocks of the array.", "device"), func(m *procfs.MDStat) float64 { return float64(m.BlocksTotal) }},
		{mdDesc("blocks_synced", "Blocks of the array that are in sync.", "device"), func(m *procfs.MDStat) float64 { return float64(m.BlocksSynced) }},
	}
	mdRaidDisks = mdDesc("raid_disks", "Disks of the whole array, as sysfs says.", "device")
	mdDegraded  = mdDesc("degraded", "Disks that the array lacks.", "device")
	mdadmDescs  = descs(mdParts, mdState, mdDisks, mdRaidDisks, mdDegraded)

	// mdStates pairs the label with procfs' word for it.
	mdStates = [...][2]string{{"active", "active"}, {"inactive", "inactive"}, {"recovering", "recovering"}, {"resync", "resyncing"}, {"check", "checking"}}
)

func mdDesc(name, help string, labels ...string) *metric.Desc {
	return &metric.Desc{Name: "node_md_" + name, Help: help, Type: metric.Gauge, Labels: labels}
}

// mdadm reads /proc/mdstat and /sys/block/md*/md.
type mdadm struct {
	proc procfs.FS
	sys  sysfs.FS
}

func newMdadm(_ func(any) error, env probe.Env) (probe.Probe, error) {
	proc, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	sys, err := sysfs.NewFS(env.Sys)
	if err != nil {
		return nil, fmt.Errorf("open sysfs: %w", err)
	}
	return mdadm{proc, sys}, nil
}

func (p mdadm) Collect(_ context.Context, out *metric.Set) error {
	arrays, err := guarded(p.proc.MDStat)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read md arrays: %w", err)
	}
	for i := range arrays {
		m := &arrays[i]
		addRows(out, mdParts, m, m.Name)
		out.Add(mdDisks, float64(m.DisksActive), m.Name, "active")
		out.Add(mdDisks, float64(m.DisksFailed), m.Name, "failed")
		out.Add(mdDisks, float64(m.DisksSpare), m.Name, "spare")
		for _, s := range mdStates {
			out.Add(mdState, boolValue(m.ActivityState == s[1]), m.Name, s[0])
		}
	}
	raids, err := p.sys.Mdraids()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read md arrays in sysfs: %w", err)
	}
	for _, r := range raids {
		if r.Disks != nil {
			out.Add(mdRaidDisks, float64(*r.Disks), r.Device)
		}
		out.Add(mdDegraded, float64(r.DegradedDisks), r.Device)
	}
	return nil
}
