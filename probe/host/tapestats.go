package host

import (
	"fmt"

	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
)

var tapeParts = []row[sysfs.SCSITapeCounters]{
	{tapeDesc("io_now", "I/O under way.", metric.Gauge), func(c *sysfs.SCSITapeCounters) float64 { return float64(c.InFlight) }},
	{tapeDesc("io_time_seconds_total", "Time spent waiting for I/O, moving the tape included.", metric.Counter), func(c *sysfs.SCSITapeCounters) float64 { return float64(c.IoNs) / 1e9 }},
	{tapeDesc("io_others_total", "I/O other than reads and writes.", metric.Counter), func(c *sysfs.SCSITapeCounters) float64 { return float64(c.OtherCnt) }},
	{tapeDesc("read_bytes_total", "Bytes read.", metric.Counter), func(c *sysfs.SCSITapeCounters) float64 { return float64(c.ReadByteCnt) }},
	{tapeDesc("reads_completed_total", "Reads.", metric.Counter), func(c *sysfs.SCSITapeCounters) float64 { return float64(c.ReadCnt) }},
	{tapeDesc("read_time_seconds_total", "Time spent waiting for reads.", metric.Counter), func(c *sysfs.SCSITapeCounters) float64 { return float64(c.ReadNs) / 1e9 }},
	{tapeDesc("residual_total", "Reads and writes that left a residue.", metric.Counter), func(c *sysfs.SCSITapeCounters) float64 { return float64(c.ResidCnt) }},
	{tapeDesc("written_bytes_total", "Bytes written.", metric.Counter), func(c *sysfs.SCSITapeCounters) float64 { return float64(c.WriteByteCnt) }},
	{tapeDesc("writes_completed_total", "Writes.", metric.Counter), func(c *sysfs.SCSITapeCounters) float64 { return float64(c.WriteCnt) }},
	{tapeDesc("write_time_seconds_total", "Time spent waiting for writes.", metric.Counter), func(c *sysfs.SCSITapeCounters) float64 { return float64(c.WriteNs) / 1e9 }},
}

func tapeDesc(name, help string, typ metric.Type) *metric.Desc {
	return &metric.Desc{Name: "node_tape_" + name, Help: help, Type: typ, Unit: unitOf(name), Labels: []string{"device"}}
}

// collectTapes reads /sys/class/scsi_tape/st*/stats.
func collectTapes(fs sysfs.FS, out *metric.Set) error {
	class, err := guarded(fs.SCSITapeClass)
	if err != nil {
		return fmt.Errorf("read tape drives: %w", err)
	}
	for _, name := range sortedKeys(class) {
		t := class[name]
		addRows(out, tapeParts, &t.Counters, name)
	}
	return nil
}
