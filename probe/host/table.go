// Package host probes the Linux host: node_exporter's names, types and labels, and the host's rows of the media server's
// own table. One file per subject.
package host

import (
	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/bcache"
	"github.com/prometheus/procfs/nfs"
	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// Kinds lists every probe of this package.
func Kinds() []probe.Kind {
	return []probe.Kind{
		{Name: "arp", Auto: always, New: newARP, Descs: []*metric.Desc{arpEntries}},
		{Name: "bcache", Auto: always, New: overSys(bcache.NewFS, collectBcache), Descs: bcacheDescs},
		{Name: "bcachefs", Auto: always, New: newBcachefs, Descs: bcachefsDescs},
		{Name: "bonding", Auto: always, New: overSys(mountPoint, collectBonding), Descs: bondingDescs},
		{Name: "btrfs", Auto: always, New: newBtrfs, Descs: btrfsDescs},
		{Name: "conntrack", Auto: always, New: newConntrack, Descs: conntrackDescs},
		{Name: "cpu", Auto: always, New: newCPU, Descs: cpuDescs},
		{Name: "cpufreq", Auto: always, New: newCPUFreq, Descs: cpufreqDescs},
		{Name: "disk", Auto: always, New: newDisk, Descs: diskDescs},
		{Name: "dmi", Auto: sysHas("class/dmi/id"), New: newDMI, Descs: dmiDescs},
		{Name: "dmmultipath", Auto: always, New: overSys(openBlockDevices, collectMultipath), Descs: dmmpDescs},
		{Name: "edac", Auto: always, New: overSys(mountPoint, collectEDAC), Descs: edacDescs},
		{Name: "entropy", Auto: always, New: newEntropy, Descs: entropyDescs},
		{Name: "fibrechannel", Auto: always, New: overSys(sysfs.NewFS, collectFibreChannel), Descs: fcDescs},
		{Name: "filefd", Auto: always, New: newFilefd, Descs: filefdDescs},
		{Name: "filesystem", Auto: always, New: newFilesystem, Descs: filesystemDescs},
		{Name: "hwmon", Auto: always, New: newHwmon, Descs: hwmonDescs()},
		{Name: "infiniband", Auto: always, New: overSys(sysfs.NewFS, collectInfiniBand), Descs: ibDescs},
		{Name: "ipvs", Auto: always, New: overProc(procfs.NewFS, collectIPVS), Descs: ipvsDescs},
		{Name: "kernel_hung", Auto: procHas("sys/kernel/hung_task_detect_count"), New: overProc(procfs.NewFS, collectKernelHung), Descs: kernelHungDescs},
		{Name: "loadavg", Auto: always, New: newLoadavg, Descs: loadavgDescs},
		{Name: "mdadm", Auto: always, New: newMdadm, Descs: mdadmDescs},
		{Name: "memory", Auto: always, New: newMemory, Descs: memoryDescs},
		{Name: "netclass", Auto: always, New: newNetclass, Descs: netclassDescs()},
		{Name: "netstat", Auto: always, New: newNetstat, Descs: netstatDescs},
		{Name: "network", Auto: always, New: newNetwork, Descs: networkDescs},
		{Name: "nfs", Auto: always, New: overProc(nfs.NewFS, collectNFS), Descs: nfsDescs},
		{Name: "nfsd", Auto: always, New: overProc(nfs.NewFS, collectNFSd), Descs: nfsdDescs},
		{Name: "nvme", Auto: always, New: overSys(sysfs.NewFS, collectNVMe), Descs: nvmeDescs},
		{Name: "os", Auto: always, New: newOSRelease, Descs: osDescs},
		{Name: "powersupplyclass", Auto: always, New: newPowerSupplies, Descs: supplyDescs},
		{Name: "pressure", Auto: always, New: newPressure, Descs: pressureDescs()},
		{Name: "rapl", Auto: always, New: newRAPL, Descs: raplDescs},
		{Name: "schedstat", Auto: always, New: newSchedstat, Descs: schedstatDescs},
		{Name: "selinux", Auto: always, New: newSELinux, Descs: selinuxDescs},
		{Name: "sockstat", Auto: always, New: newSockstat, Descs: sockstatDescs()},
		{Name: "softnet", Auto: always, New: newSoftnet, Descs: softnetDescs()},
		{Name: "stat", Auto: always, New: newStat, Descs: statDescs},
		{Name: "tapestats", Auto: always, New: overSys(sysfs.NewFS, collectTapes), Descs: descs(tapeParts)},
		{Name: "thermal_zone", Auto: always, New: overSys(sysfs.NewFS, collectThermalZone), Descs: thermalZoneDescs},
		{Name: "time", Auto: always, New: newClock, Descs: timeDescs},
		{Name: "timex", Auto: always, New: newTimex, Descs: timexDescs},
		{Name: "udp_queues", Auto: always, New: newUDPQueues, Descs: []*metric.Desc{udpQueuesDesc}},
		{Name: "uname", Auto: always, New: newUname, Descs: []*metric.Desc{unameInfo}},
		{Name: "vmstat", Auto: always, New: newVMStat, Descs: vmstatDescs},
		{Name: "watchdog", Auto: always, New: overSys(sysfs.NewFS, collectWatchdogs), Descs: watchdogDescs},
		{Name: "xfs", Auto: always, New: overSys(openXFS, collectXFS), Descs: descs(xfsParts)},
		{Name: "zfs", Auto: always, New: newZFS, Descs: zfsDescs},
	}
}

func always(probe.Env) bool { return true }
