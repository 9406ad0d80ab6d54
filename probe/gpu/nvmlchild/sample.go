//go:build linux && cgo && !nonvml

package nvmlchild

import (
	"cmp"
	"fmt"
	"os"
	"slices"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// gpu is a device of the library.
type gpu struct {
	dev         nvml.Device
	index       int
	pci         string
	uuid, name  string
	noEncoder   bool // it has no NVENC, though its readings say 0 %; false again when they say more
	seen        map[nvml.SamplingType]uint64
	readings    map[string]float64
	code        nvml.Return // of the call before
	lost        nvml.Return
	codecsKnown bool
	codecs      [len(codecNames)]bool
	clocks      [nvml.CLOCK_COUNT]uint32 // at most, MHz; 0: not known
}

// sample reads all devices.
func (d *driver) sample() *Report {
	clear(d.errors)
	r := &Report{Driver: d.version, Library: d.file.path, Replaced: d.replaced}
	d.enumerate()
	d.collectXIDs()
	for _, g := range d.gpus {
		d.readAll(g)
		r.GPUs = append(r.GPUs, GPU{Index: g.index, PCI: g.pci, UUID: g.uuid, Name: g.name, Lost: int(g.lost), Readings: g.readings})
	}
	for x, n := range d.xids {
		r.XIDs = append(r.XIDs, XID{x.pci, x.code, n})
	}
	clear(d.xids)
	for f, n := range d.errors {
		r.Errors = append(r.Errors, Error{f.call, int(f.code), n})
	}
	slices.SortFunc(r.XIDs, func(a, b XID) int { return cmp.Or(cmp.Compare(a.PCI, b.PCI), cmp.Compare(a.XID, b.XID)) })
	slices.SortFunc(r.Errors, func(a, b Error) int { return cmp.Or(cmp.Compare(a.Call, b.Call), a.Code-b.Code) })
	return r
}

// enumerate finds the devices, anew where their number has changed or one has no handle. Where there is no number, they stay as they were.
func (d *driver) enumerate() {
	n, code := d.lib.DeviceGetCount()
	if code != nvml.SUCCESS {
		d.failed("DeviceGetCount", code)
		return
	}
	n = min(n, maxGPUs)
	if n == d.count && len(d.gpus) == n {
		return
	}
	known := map[string]*gpu{}
	for _, g := range d.gpus {
		known[g.pci] = g
	}
	d.gpus, d.count = nil, n
	for i := range n {
		dev, code := d.lib.DeviceGetHandleByIndex(i)
		if code != nvml.SUCCESS {
			d.failed("DeviceGetHandleByIndex", code)
			continue
		}
		pci, code := dev.GetPciInfo()
		if code != nvml.SUCCESS {
			d.failed("GetPciInfo", code)
			continue
		}
		g := known[pciAddress(pci.Domain, pci.Bus, pci.Device)]
		if g == nil {
			g = &gpu{pci: pciAddress(pci.Domain, pci.Bus, pci.Device), seen: map[nvml.SamplingType]uint64{}, readings: map[string]float64{}}
		}
		fresh := g.dev == nil || g.dev != dev
		g.dev, g.index = dev, i
		if fresh {
			d.identify(g)
			d.watch(g)
		}
		d.gpus = append(d.gpus, g)
	}
}

func (d *driver) identify(g *gpu) {
	if d.symbol("nvmlDeviceGetUUID") {
		uuid, code := g.dev.GetUUID()
		d.failed("GetUUID", code)
		g.uuid = shorten(uuid)
	}
	if d.symbol("nvmlDeviceGetName") {
		name, code := g.dev.GetName()
		d.failed("GetName", code)
		g.name = shorten(name)
	}
}

// readAll takes all readings of a device. Where it turns out to be lost, the rest of them is not even asked.
func (d *driver) readAll(g *gpu) {
	clear(g.readings)
	g.lost = 0
	for i := range calls {
		c := &calls[i]
		if !d.supports(c) {
			continue
		}
		code := d.take(c, g)
		d.failed(c.name, code)
		if code == nvml.ERROR_GPU_IS_LOST || code == nvml.ERROR_RESET_REQUIRED {
			g.lost = code
			return
		}
	}
	if len(g.readings) == 0 {
		g.lost = nvml.ERROR_UNKNOWN
	}
}

func (d *driver) supports(c *call) bool {
	for _, s := range c.symbols {
		if !d.symbol(s) {
			return false
		}
	}
	return true
}

// take makes one call; a mistake in the wrapper costs no other.
func (d *driver) take(c *call, g *gpu) (code nvml.Return) {
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", c.name, v)
			code = nvml.ERROR_UNKNOWN
		}
	}()
	return c.read(d, g)
}
