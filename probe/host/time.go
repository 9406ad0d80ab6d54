package host

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	timeSeconds     = &metric.Desc{Name: "node_time_seconds", Help: "Unix time of the machine.", Type: metric.Gauge, Unit: metric.Seconds}
	timeZone        = &metric.Desc{Name: "node_time_zone_offset_seconds", Help: "Offset of the time zone from UTC.", Type: metric.Gauge, Unit: metric.Seconds, Labels: []string{"time_zone"}}
	timeAvailable   = &metric.Desc{Name: "node_time_clocksource_available_info", Help: "Clock sources that the kernel could use, value 1.", Type: metric.Gauge, Labels: []string{"device", "clocksource"}}
	timeClocksource = &metric.Desc{Name: "node_time_clocksource_current_info", Help: "Clock source that the kernel uses, value 1.", Type: metric.Gauge, Labels: []string{"device", "clocksource"}}
	timeDescs       = []*metric.Desc{timeSeconds, timeZone, timeAvailable, timeClocksource}
)

// clock reads the wall clock and /sys/devices/system/clocksource.
type clock struct {
	fs  sysfs.FS
	now func() time.Time
}

func newClock(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := sysfs.NewFS(env.Sys)
	if err != nil {
		return nil, fmt.Errorf("open sysfs: %w", err)
	}
	return &clock{fs, time.Now}, nil
}

func (p *clock) Collect(_ context.Context, out *metric.Set) error {
	now := p.now()
	zone, offset := now.Zone()
	out.Add(timeSeconds, float64(now.UnixMicro())/1e6)
	out.Add(timeZone, float64(offset), zone)
	sources, err := p.fs.ClockSources()
	if err != nil {
		return fmt.Errorf("read clock sources: %w", err)
	}
	for i, s := range sources {
		device := strconv.Itoa(i)
		for _, a := range s.Available {
			out.Add(timeAvailable, 1, device, a)
		}
		out.Add(timeClocksource, 1, device, s.Current)
	}
	return nil
}
