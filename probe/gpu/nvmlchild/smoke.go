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
	}
	for f, n := range d.errors {
		fmt.Fprintf(stdout, "\n%s failed with code %d, %d times\n", f.call, f.code, n)
	}
	start = time.Now()
	for range rounds {
		d.sample()
	}
	fmt.Fprintf(stdout, "\none report of all: %s; resident memory %d KiB\n", (time.Since(start) / time.Duration(rounds)).Round(time.Microsecond), residentMemory()>>10)
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
