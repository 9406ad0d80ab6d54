//go:build linux && cgo && !nonvml

package nvmlchild

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// smokeTest prints, for every call and device, return code, cost and readings.
func smokeTest(library string, rounds int, stdout, stderr io.Writer) int {
	start := time.Now()
	d, first := open(library)
	if d == nil {
		fmt.Fprintf(stderr, "NVML does not start: %s (code %d)\n", first.Text, first.Code)
		return 1
	}
	defer d.close()
	fmt.Fprintf(stdout, "driver %s, library %s, started in %s\n", d.version, d.file.path, time.Since(start).Round(10*time.Microsecond))
	d.enumerate()
	for _, g := range d.gpus {
		fmt.Fprintf(stdout, "\nGPU %d %s %s\n%-28s %-5s %-10s %-10s %s\n", g.index, g.pci, g.name, "call", "code", "median", "slowest", "readings")
		for i := range calls {
			d.smokeCall(&calls[i], g, rounds, stdout)
		}
		d.smokeParts(g, stdout)
	}
	for f, n := range d.errors {
		fmt.Fprintf(stdout, "\n%s failed with code %d, %d times\n", f.call, f.code, n)
	}
	start = time.Now()
	d.collectXIDs()
	fmt.Fprintf(stdout, "\ncritical errors: %t, asked for in %s\n", d.events != nil, time.Since(start).Round(time.Microsecond))
	start = time.Now()
	for range rounds {
		d.sample()
	}
	fmt.Fprintf(stdout, "one report of all: %s; resident memory %d KiB\n", (time.Since(start) / time.Duration(rounds)).Round(time.Microsecond), residentMemory()>>10)
	return 0
}

func (d *driver) smokeCall(c *call, g *gpu, rounds int, stdout io.Writer) {
	if !d.supports(c) {
		fmt.Fprintf(stdout, "%-28s %-5s\n", c.name, "none")
		return
	}
	costs := make([]time.Duration, rounds)
	var code nvml.Return
	for i := range costs {
		clear(g.readings)
		start := time.Now()
		code = d.take(c, g)
		costs[i] = time.Since(start)
	}
	slices.Sort(costs)
	fmt.Fprintf(stdout, "%-28s %-5d %-10s %-10s", c.name, code, costs[rounds/2].Round(100*time.Nanosecond), costs[rounds-1].Round(100*time.Nanosecond))
	for _, k := range slices.Sorted(maps.Keys(g.readings)) {
		fmt.Fprintf(stdout, " %s=%g", k, g.readings[k])
	}
	fmt.Fprintln(stdout)
}

// smokeParts prints what readings are made of, and what else tells drivers and cards apart.
func (d *driver) smokeParts(g *gpu, stdout io.Writer) {
	if d.symbol("nvmlDeviceGetEncoderCapacity") {
		for c, name := range codecNames {
			v, code := g.dev.GetEncoderCapacity(nvml.EncoderType(c))
			fmt.Fprintf(stdout, "encoder capacity %-11s %-5d %d %%\n", name, code, v)
		}
	}
	for _, e := range []struct {
		name string
		get  func(nvml.Device) (uint32, uint32, nvml.Return)
	}{
		{"GetEncoderUtilization", nvml.Device.GetEncoderUtilization}, {"GetDecoderUtilization", nvml.Device.GetDecoderUtilization},
		{"GetJpgUtilization", nvml.Device.GetJpgUtilization}, {"GetOfaUtilization", nvml.Device.GetOfaUtilization},
	} {
		if d.symbol("nvmlDevice" + e.name) {
			v, period, code := e.get(g.dev)
			fmt.Fprintf(stdout, "%-28s %-5d %d %% in %d us\n", e.name, code, v, period)
		}
	}
	for _, kind := range []nvml.SamplingType{nvml.ENC_UTILIZATION_SAMPLES, nvml.DEC_UTILIZATION_SAMPLES, nvml.JPG_UTILIZATION_SAMPLES, nvml.OFA_UTILIZATION_SAMPLES, nvml.GPU_UTILIZATION_SAMPLES} {
		if !d.symbol("nvmlDeviceGetSamples") {
			break
		}
		valueType, samples, code := g.dev.GetSamples(kind, 0)
		room := len(samples)
		samples = slices.DeleteFunc(samples, func(s nvml.Sample) bool { return s.TimeStamp == 0 })
		fmt.Fprintf(stdout, "samples of kind %-12d %-5d %d of %d, value type %d", kind, code, len(samples), room, valueType)
		if n := len(samples); n > 1 {
			fmt.Fprintf(stdout, ", from %d us to %d us", samples[0].TimeStamp, samples[n-1].TimeStamp)
		}
		fmt.Fprintln(stdout)
	}
	// Besides those that are read: power as an average and at once, limits of temperature as a distance.
	ids := []uint32{nvml.FI_DEV_POWER_AVERAGE, nvml.FI_DEV_POWER_INSTANT, 193, 194, 195, 196}
	for _, f := range fields {
		ids = append(ids, f.id)
	}
	values := make([]nvml.FieldValue, len(ids))
	for i, id := range ids {
		values[i].FieldId = id
	}
	if d.symbol("nvmlDeviceGetFieldValues") && g.dev.GetFieldValues(values) == nvml.SUCCESS {
		for _, v := range values {
			x, _ := number(nvml.ValueType(v.ValueType), v.Value)
			fmt.Fprintf(stdout, "field %-22d %-5d %g, value type %d\n", v.FieldId, v.NvmlReturn, x, v.ValueType)
		}
	}
}
