// Package host probes the Linux host: node_exporter's names, types and labels, and the host's rows of the media server's
// own table. One file per subject.
package host

import (
	"github.com/prometheus/procfs/sysfs"

	"headend-agent/probe"
)

// Kinds lists every probe of this package.
func Kinds() []probe.Kind {
	return []probe.Kind{
		{Name: "dmi", Auto: hasDMI, New: newDMI, Descs: dmiDescs},
		{Name: "hwmon", Auto: always, New: newHwmon, Descs: hwmonDescs()},
		{Name: "loadavg", Auto: always, New: newLoadavg, Descs: loadavgDescs},
		{Name: "mdadm", Auto: always, New: newMdadm, Descs: mdadmDescs},
		{Name: "nvme", Auto: always, New: overSys(sysfs.NewFS, collectNVMe), Descs: nvmeDescs},
		{Name: "os", Auto: always, New: newOSRelease, Descs: osDescs},
		{Name: "thermal_zone", Auto: always, New: overSys(sysfs.NewFS, collectThermalZone), Descs: thermalZoneDescs},
	}
}

func always(probe.Env) bool { return true }
