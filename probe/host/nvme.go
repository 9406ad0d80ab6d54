package host

import (
	"fmt"
	"path/filepath"

	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
)

var (
	nvmeInfo = &metric.Desc{Name: "node_nvme_info", Help: "An NVMe controller, always 1.", Type: metric.Gauge,
		Labels: []string{"device", "firmware_revision", "model", "serial", "state", "cntlid"}}
	nvmeNamespaceInfo = &metric.Desc{Name: "node_nvme_namespace_info", Help: "An NVMe namespace, always 1.", Type: metric.Gauge,
		Labels: []string{"device", "nsid", "ana_state"}}
	nvmeNamespaceCapacity = nvmeNamespaceBytes("capacity", "Capacity of the namespace.")
	nvmeNamespaceSize     = nvmeNamespaceBytes("size", "Size of the namespace.")
	nvmeNamespaceUsed     = nvmeNamespaceBytes("used", "Bytes of the namespace that the drive has allocated.")
	nvmeNamespaceBlock    = nvmeNamespaceBytes("logical_block_size", "Size of a logical block of the namespace.")
	nvmeDescs             = []*metric.Desc{nvmeInfo, nvmeNamespaceInfo, nvmeNamespaceCapacity, nvmeNamespaceSize, nvmeNamespaceUsed, nvmeNamespaceBlock}
)

func nvmeNamespaceBytes(name, help string) *metric.Desc {
	return &metric.Desc{Name: "node_nvme_namespace_" + name + "_bytes", Help: help, Type: metric.Gauge, Unit: metric.Bytes,
		Labels: []string{"device", "nsid"}}
}

// collectNVMe reads /sys/class/nvme.
func collectNVMe(fs sysfs.FS, out *metric.Set) error {
	class, err := fs.NVMeClass()
	if err != nil {
		return fmt.Errorf("read NVMe devices: %w", err)
	}
	for _, name := range sortedKeys(class) {
		d := class[name]
		out.Add(nvmeInfo, 1, name, d.FirmwareRevision, d.Model, d.Serial, d.State, d.ControllerID)
		for _, n := range d.Namespaces {
			out.Add(nvmeNamespaceInfo, 1, name, n.ID, n.ANAState)
			out.Add(nvmeNamespaceCapacity, float64(n.CapacityBytes), name, n.ID)
			out.Add(nvmeNamespaceSize, float64(n.SizeBytes), name, n.ID)
			out.Add(nvmeNamespaceBlock, float64(n.LogicalBlockSize), name, n.ID)
			// nuse counts logical blocks; kernels before 6.8 have no such file, and procfs does not read it.
			if used, err := readUint(filepath.Join(n.Path, "nuse")); err == nil {
				out.Add(nvmeNamespaceUsed, float64(used)*float64(n.LogicalBlockSize), name, n.ID)
			}
		}
	}
	return nil
}
