// Package host probes the Linux host: node_exporter's names, types and labels, and the host's rows of the media server's
// own table. One file per subject.
package host

import (
	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// Kinds lists every probe of this package.
func Kinds() []probe.Kind {
	return []probe.Kind{
		{Name: "arp", Auto: always, New: newARP, Descs: []*metric.Desc{arpEntries}},
		{Name: "conntrack", Auto: always, New: newConntrack, Descs: conntrackDescs},
		{Name: "cpu", Auto: always, New: newCPU, Descs: cpuDescs},
		{Name: "cpufreq", Auto: always, New: newCPUFreq, Descs: cpufreqDescs},
		{Name: "disk", Auto: always, New: newDisk, Descs: diskDescs},
		{Name: "entropy", Auto: always, New: newEntropy, Descs: entropyDescs},
		{Name: "filefd", Auto: always, New: newFilefd, Descs: filefdDescs},
		{Name: "filesystem", Auto: always, New: newFilesystem, Descs: filesystemDescs},
		{Name: "loadavg", Auto: always, New: newLoadavg, Descs: loadavgDescs},
		{Name: "memory", Auto: always, New: newMemory, Descs: memoryDescs},
		{Name: "netclass", Auto: always, New: newNetclass, Descs: netclassDescs()},
		{Name: "netstat", Auto: always, New: newNetstat, Descs: netstatDescs},
		{Name: "network", Auto: always, New: newNetwork, Descs: networkDescs},
		{Name: "pressure", Auto: always, New: newPressure, Descs: pressureDescs()},
		{Name: "schedstat", Auto: always, New: newSchedstat, Descs: schedstatDescs},
		{Name: "sockstat", Auto: always, New: newSockstat, Descs: sockstatDescs()},
		{Name: "softnet", Auto: always, New: newSoftnet, Descs: softnetDescs()},
		{Name: "stat", Auto: always, New: newStat, Descs: statDescs},
		{Name: "time", Auto: always, New: newClock, Descs: timeDescs},
		{Name: "timex", Auto: always, New: newTimex, Descs: timexDescs},
		{Name: "udp_queues", Auto: always, New: newUDPQueues, Descs: []*metric.Desc{udpQueuesDesc}},
		{Name: "uname", Auto: always, New: newUname, Descs: []*metric.Desc{unameInfo}},
		{Name: "vmstat", Auto: always, New: newVMStat, Descs: vmstatDescs},
	}
}

func always(probe.Env) bool { return true }
