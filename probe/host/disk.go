package host

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/procfs/blockdevice"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// DiskConfig configures the probe "disk".
type DiskConfig struct {
	DeviceExclude string `yaml:"device_exclude"` // regular expression; the default leaves out partitions, loop and RAM disks
}

const sectorSize = 512 // of /proc/diskstats, whatever the device's own is

var (
	diskRows = []row[blockdevice.Diskstats]{
		diskRow("reads_completed_total", "Reads completed.", metric.None, func(s *blockdevice.Diskstats) float64 { return float64(s.ReadIOs) }),
		diskRow("reads_merged_total", "Reads merged with a neighbour.", metric.None, func(s *blockdevice.Diskstats) float64 { return float64(s.ReadMerges) }),
		diskRow("read_bytes_total", "Bytes read.", metric.Bytes, func(s *blockdevice.Diskstats) float64 { return float64(s.ReadSectors) * sectorSize }),
		diskRow("read_time_seconds_total", "Time that all reads took.", metric.Seconds, func(s *blockdevice.Diskstats) float64 { return seconds(s.ReadTicks) }),
		diskRow("writes_completed_total", "Writes completed.", metric.None, func(s *blockdevice.Diskstats) float64 { return float64(s.WriteIOs) }),
		diskRow("writes_merged_total", "Writes merged with a neighbour.", metric.None, func(s *blockdevice.Diskstats) float64 { return float64(s.WriteMerges) }),
		diskRow("written_bytes_total", "Bytes written.", metric.Bytes, func(s *blockdevice.Diskstats) float64 { return float64(s.WriteSectors) * sectorSize }),
		diskRow("write_time_seconds_total", "Time that all writes took.", metric.Seconds, func(s *blockdevice.Diskstats) float64 { return seconds(s.WriteTicks) }),
		{&metric.Desc{Name: "node_disk_io_now", Help: "Requests in flight.", Type: metric.Gauge, Labels: byDevice}, func(s *blockdevice.Diskstats) float64 { return float64(s.IOsInProgress) }},
		diskRow("io_time_seconds_total", "Time with a request in flight.", metric.Seconds, func(s *blockdevice.Diskstats) float64 { return seconds(s.IOsTotalTicks) }),
		diskRow("io_time_weighted_seconds_total", "Time with a request in flight, times the requests.", metric.Seconds, func(s *blockdevice.Diskstats) float64 { return seconds(s.WeightedIOTicks) }),
		diskRow("discards_completed_total", "Discards completed.", metric.None, func(s *blockdevice.Diskstats) float64 { return float64(s.DiscardIOs) }),
		diskRow("discards_merged_total", "Discards merged with a neighbour.", metric.None, func(s *blockdevice.Diskstats) float64 { return float64(s.DiscardMerges) }),
		diskRow("discarded_sectors_total", "Sectors of 512 bytes discarded.", metric.None, func(s *blockdevice.Diskstats) float64 { return float64(s.DiscardSectors) }),
		diskRow("discard_time_seconds_total", "Time that all discards took.", metric.Seconds, func(s *blockdevice.Diskstats) float64 { return seconds(s.DiscardTicks) }),
		diskRow("flush_requests_total", "Flushes completed.", metric.None, func(s *blockdevice.Diskstats) float64 { return float64(s.FlushRequestsCompleted) }),
		diskRow("flush_requests_time_seconds_total", "Time that all flushes took.", metric.Seconds, func(s *blockdevice.Diskstats) float64 { return seconds(s.TimeSpentFlushing) }),
	}
	diskUsage = &metric.Desc{Name: "flussonic_disk_io_usage", Help: "Time with a request in flight since the last round, in percent.", Type: metric.Gauge, Unit: metric.Percent, Labels: byDevice}
	diskDescs = append(descs(diskRows, diskUsage), diskInfoDescs...)
)

func diskRow(name, help string, unit metric.Unit, value func(*blockdevice.Diskstats) float64) row[blockdevice.Diskstats] {
	return row[blockdevice.Diskstats]{&metric.Desc{Name: "node_disk_" + name, Help: help, Type: metric.Counter, Unit: unit, Labels: byDevice}, value}
}

func seconds(ms uint64) float64 { return float64(ms) / 1000 }

// disk reads /proc/diskstats.
type disk struct {
	fs      blockdevice.FS
	exclude exclusion
	boot    bootTime
	info    *diskInfos
	busy    map[string]diskBusy
	run     int
}

// diskBusy remembers how long a device had been busy when it was last read.
type diskBusy struct {
	ms  uint64
	at  time.Time
	run int
}

func newDisk(decode func(any) error, env probe.Env) (probe.Probe, error) {
	// As Debian's node_exporter has it; later ones leave out zram too, which shows how compressed swap is used.
	c := DiskConfig{DeviceExclude: `^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`}
	if err := decode(&c); err != nil {
		return nil, err
	}
	exclude, err := compileExclusion("device_exclude", c.DeviceExclude)
	if err != nil {
		return nil, err
	}
	fs, err := blockdevice.NewFS(env.Proc, env.Sys)
	if err != nil {
		return nil, fmt.Errorf("open procfs and sysfs: %w", err)
	}
	boot, err := newBootTime(env)
	if err != nil {
		return nil, err
	}
	return &disk{fs: fs, exclude: exclude, boot: boot, info: newDiskInfos(fs, env.RootFile("/run/udev/data")), busy: map[string]diskBusy{}}, nil
}

func (p *disk) Collect(_ context.Context, out *metric.Set) error {
	disks, err := p.fs.ProcDiskstats()
	if err != nil {
		return fmt.Errorf("read diskstats: %w", err)
	}
	now := time.Now()
	p.run++
	for i := range disks {
		d := &disks[i]
		if p.exclude.has(d.DeviceName) {
			continue
		}
		for k, r := range diskRows {
			if k < d.IoStatsCount-3 { // the first three fields name the device; the later ones came with kernels 4.18 and 5.5
				out.Add(r.desc, r.value(d), d.DeviceName)
			}
		}
		if before := p.busy[d.DeviceName]; before.run == p.run-1 && before.run > 0 {
			if share, ok := busyShare(before, diskBusy{ms: d.IOsTotalTicks, at: now}); ok {
				out.Add(diskUsage, share, d.DeviceName)
			}
		}
		p.busy[d.DeviceName] = diskBusy{d.IOsTotalTicks, now, p.run}
		p.info.add(out, d.Info, p.run)
	}
	p.forget()
	p.boot.mark(out)
	return nil
}

// busyShare returns the share of the time between two readings in which a device was busy, in percent. It may count a
// little more than passed, for the kernel counts in ticks.
func busyShare(from, to diskBusy) (float64, bool) {
	passed := to.at.Sub(from.at).Seconds() * 1000
	if to.ms < from.ms || passed <= 0 {
		return 0, false
	}
	return min(100, 100*float64(to.ms-from.ms)/passed), true
}

// forget drops devices that did not come in this run.
func (p *disk) forget() {
	for name, b := range p.busy {
		if b.run != p.run {
			delete(p.busy, name)
		}
	}
	p.info.forget(p.run)
}
