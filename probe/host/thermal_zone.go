package host

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
)

var (
	thermalZoneTemp = &metric.Desc{Name: "node_thermal_zone_temp", Help: "Temperature of the zone in degrees Celsius.",
		Type: metric.Gauge, Unit: metric.Celsius, Labels: []string{"zone", "type"}}
	coolingCurState = &metric.Desc{Name: "node_cooling_device_cur_state", Help: "Throttle state of the cooling device.",
		Type: metric.Gauge, Labels: []string{"name", "type"}}
	coolingMaxState = &metric.Desc{Name: "node_cooling_device_max_state", Help: "Highest throttle state of the cooling device.",
		Type: metric.Gauge, Labels: []string{"name", "type"}}
	thermalZoneDescs = []*metric.Desc{thermalZoneTemp, coolingCurState, coolingMaxState}
)

// collectThermalZone reads /sys/class/thermal/thermal_zone* and cooling_device*.
func collectThermalZone(fs sysfs.FS, out *metric.Set) error {
	zones, err := fs.ClassThermalZoneStats()
	if err != nil {
		return fmt.Errorf("list thermal zones: %w", err)
	}
	for _, z := range zones {
		if errors.Is(z.ReadErrors, strconv.ErrSyntax) {
			return fmt.Errorf("read thermal zone %s: %w", z.Name, z.ReadErrors)
		}
		if z.ReadErrors != nil && z.Temp == 0 {
			continue // a sensor that is off or asleep refuses to be read; the other zones are well
		}
		out.Add(thermalZoneTemp, float64(z.Temp)/1000, z.Name, z.Type)
	}
	devices, err := fs.ClassCoolingDeviceStats()
	if err != nil {
		return fmt.Errorf("read cooling devices: %w", err)
	}
	for _, d := range devices {
		out.Add(coolingCurState, float64(d.CurState), d.Name, d.Type)
		out.Add(coolingMaxState, float64(d.MaxState), d.Name, d.Type)
	}
	return nil
}
