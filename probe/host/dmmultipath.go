package host

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/prometheus/procfs/blockdevice"

	"headend-agent/internal/metric"
)

var (
	dmmpInfo        = dmmpDesc("device_info", "A multipath device, always 1.", "device", "sysfs_name", "uuid")
	dmmpActive      = dmmpDesc("device_active", "Whether the device is active, not suspended.", "device", "sysfs_name")
	dmmpSize        = dmmpDesc("device_size_bytes", "Size of the device.", "device", "sysfs_name")
	dmmpPaths       = dmmpDesc("device_paths", "Paths of the device.", "device", "sysfs_name")
	dmmpPathsActive = dmmpDesc("device_paths_active", "Paths whose state is running or live.", "device", "sysfs_name")
	dmmpPathsFailed = dmmpDesc("device_paths_failed", "Paths in any other state.", "device", "sysfs_name")
	dmmpPathState   = dmmpDesc("path_state", "State of a path, always 1.", "device", "path", "state")
	dmmpDescs       = []*metric.Desc{dmmpInfo, dmmpActive, dmmpSize, dmmpPaths, dmmpPathsActive, dmmpPathsFailed, dmmpPathState}
)

func dmmpDesc(name, help string, labels ...string) *metric.Desc {
	return &metric.Desc{Name: "node_dmmultipath_" + name, Help: help, Type: metric.Gauge, Unit: unitOf(name), Labels: labels}
}

// openBlockDevices gives sysfs in place of procfs too, of which nothing is read.
func openBlockDevices(sys string) (blockdevice.FS, error) { return blockdevice.NewFS(sys, sys) }

// collectMultipath reads /sys/block/dm-*.
func collectMultipath(block blockdevice.FS, out *metric.Set) error {
	devices, err := block.DMMultipathDevices()
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read multipath devices: %w", err)
	}
	for _, d := range devices {
		active := 0
		for _, p := range d.Paths {
			if p.State == "running" || p.State == "live" { // SCSI's and NVMe's words
				active++
			}
			out.Add(dmmpPathState, 1, d.Name, p.Device, p.State)
		}
		out.Add(dmmpInfo, 1, d.Name, d.SysfsName, d.UUID)
		out.Add(dmmpActive, boolValue(!d.Suspended), d.Name, d.SysfsName)
		out.Add(dmmpSize, float64(d.SizeBytes), d.Name, d.SysfsName)
		out.Add(dmmpPaths, float64(len(d.Paths)), d.Name, d.SysfsName)
		out.Add(dmmpPathsActive, float64(active), d.Name, d.SysfsName)
		out.Add(dmmpPathsFailed, float64(len(d.Paths)-active), d.Name, d.SysfsName)
	}
	return nil
}
