package host

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/btrfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var btrfsParts = []row[btrfs.Stats]{
	{btrfsDesc("global_rsv_size_bytes", "Size of the global reserve.", metric.Gauge), func(s *btrfs.Stats) float64 { return float64(s.Allocation.GlobalRsvSize) }},
	{btrfsDesc("commits_total", "Commits.", metric.Counter), func(s *btrfs.Stats) float64 { return float64(s.CommitStats.Commits) }},
	{btrfsDesc("last_commit_seconds", "Time that the last commit took.", metric.Gauge), func(s *btrfs.Stats) float64 { return float64(s.CommitStats.LastCommitMs) / 1000 }},
	{btrfsDesc("max_commit_seconds", "Time that the longest commit took.", metric.Gauge), func(s *btrfs.Stats) float64 { return float64(s.CommitStats.MaxCommitMs) / 1000 }},
	{btrfsDesc("commit_seconds_total", "Time that all commits took.", metric.Counter), func(s *btrfs.Stats) float64 { return float64(s.CommitStats.TotalCommitMs) / 1000 }},
}

var (
	btrfsInfo     = btrfsDesc("info", "A mounted btrfs, always 1.", metric.Gauge, "label")
	btrfsReserved = btrfsDesc("reserved_bytes", "Space reserved by type of data.", metric.Gauge, "block_group_type")
	btrfsUsed     = btrfsDesc("used_bytes", "Space used by type of data and profile.", metric.Gauge, "block_group_type", "mode")
	btrfsSize     = btrfsDesc("size_bytes", "Space allocated by type of data and profile.", metric.Gauge, "block_group_type", "mode")
	btrfsRatio    = btrfsDesc("allocation_ratio", "Bytes on the devices for one of data, by type of data and profile.", metric.Gauge, "block_group_type", "mode")

	btrfsDeviceSize   = btrfsDesc("device_size_bytes", "Size of the device.", metric.Gauge, "device", "btrfs_dev_uuid")
	btrfsDeviceUnused = btrfsDesc("device_unused_bytes", "Space of the device that is not allocated.", metric.Gauge, "device", "btrfs_dev_uuid")
	btrfsDeviceErrors = btrfsDesc("device_errors_total", "Errors of the device by type.", metric.Counter, "type", "device", "btrfs_dev_uuid")

	btrfsDescs = descs(btrfsParts, btrfsInfo, btrfsReserved, btrfsUsed, btrfsSize, btrfsRatio, btrfsDeviceSize, btrfsDeviceUnused, btrfsDeviceErrors)
)

func btrfsDesc(name, help string, typ metric.Type, labels ...string) *metric.Desc {
	return &metric.Desc{Name: "node_btrfs_" + name, Help: help, Type: typ, Unit: unitOf(name), Labels: append([]string{"uuid"}, labels...)}
}

// btrfsProbe reads /sys/fs/btrfs, and asks the file systems themselves about their devices.
type btrfsProbe struct {
	sys  btrfs.FS
	proc procfs.FS
	env  probe.Env
	ask  func(dir string) (id string, devices []btrfsDevice, err error)
}

func newBtrfs(_ func(any) error, env probe.Env) (probe.Probe, error) {
	sys, err := btrfs.NewFS(env.Sys)
	if err != nil {
		return nil, fmt.Errorf("open sysfs: %w", err)
	}
	proc, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return btrfsProbe{sys, proc, env, btrfsDevices}, nil
}

func (p btrfsProbe) Collect(_ context.Context, out *metric.Set) error {
	stats, err := p.sys.Stats()
	if err != nil {
		return fmt.Errorf("read btrfs statistics: %w", err)
	}
	if len(stats) == 0 {
		return nil
	}
	devices := p.devices()
	for _, s := range stats {
		out.Add(btrfsInfo, 1, s.UUID, s.Label)
		addRows(out, btrfsParts, s, s.UUID)
		addAllocation(out, s.UUID, "data", s.Allocation.Data)
		addAllocation(out, s.UUID, "metadata", s.Allocation.Metadata)
		addAllocation(out, s.UUID, "system", s.Allocation.System)
		known, ok := devices[strings.ReplaceAll(s.UUID, "-", "")]
		if !ok {
			for _, name := range sortedKeys(s.Devices) {
				out.Add(btrfsDeviceSize, float64(s.Devices[name].Size), s.UUID, name, "")
			}
		}
		for _, d := range known {
			name := filepath.Base(d.path)
			out.Add(btrfsDeviceSize, float64(d.size), s.UUID, name, d.uuid)
			out.Add(btrfsDeviceUnused, float64(d.size-d.used), s.UUID, name, d.uuid)
			for i, typ := range btrfsErrorTypes {
				out.Add(btrfsDeviceErrors, float64(d.errors[i]), s.UUID, typ, name, d.uuid)
			}
		}
	}
	return nil
}

func addAllocation(out *metric.Set, uuid, group string, a *btrfs.AllocationStats) {
	out.Add(btrfsReserved, float64(a.ReservedBytes), uuid, group)
	for _, mode := range sortedKeys(a.Layouts) {
		l := a.Layouts[mode]
		out.Add(btrfsUsed, float64(l.UsedBytes), uuid, group, mode)
		out.Add(btrfsSize, float64(l.TotalBytes), uuid, group, mode)
		out.Add(btrfsRatio, l.Ratio, uuid, group, mode)
	}
}

// devices returns the devices of the file systems that are mounted where they can be opened, by the file system's id. The
// others are left to sysfs, which knows sizes only.
func (p btrfsProbe) devices() map[string][]btrfsDevice {
	self, err := p.proc.Self()
	if err != nil {
		return nil
	}
	mounts, err := self.MountInfo()
	if err != nil {
		return nil
	}
	var done []string
	found := map[string][]btrfsDevice{}
	for _, m := range mounts {
		if m.FSType != "btrfs" || slices.Contains(done, m.Source) {
			continue
		}
		if id, devices, err := p.ask(p.env.RootFile(mountPath(m))); err == nil {
			found[id] = devices
			done = append(done, m.Source)
		}
	}
	return found
}
