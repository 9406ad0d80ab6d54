package gpu

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// amd reads AMD's GPUs by what the driver amdgpu tells in sysfs, and their video engines by the fdinfo of the processes that use them.
type amd struct {
	bus     bus
	clients *clients
	last    time.Time
}

func newAMD(decode func(any) error, env probe.Env) (probe.Probe, error) {
	if err := decode(&struct{}{}); err != nil {
		return nil, err
	}
	return &amd{bus: bus{sys: env.Sys, wanted: of(vendorAMD)}, clients: newClients(env.Proc)}, nil
}

func (a *amd) Collect(ctx context.Context, out *metric.Set) error {
	found, _, err := a.bus.cards()
	if err != nil {
		return err
	}
	now := time.Now()
	shares := a.clients.read(ctx, float64(now.Sub(a.last)))
	second := !a.last.IsZero()
	a.last = now
	for _, c := range found {
		a.card(out, c, shares[c.pci], second)
	}
	return nil
}

func (a *amd) card(out *metric.Set, c card, s share, second bool) {
	name := readLine(c.dir, "product_name")
	if name == "" {
		name = "AMD " + strings.TrimPrefix(c.device, "0x")
	}
	graphics, answers := readNumber(filepath.Join(c.dir, "gpu_busy_percent"))
	addCard(out, c, "amd", name, answers || drmDir(c) != "")
	if answers {
		out.Add(engineRatio, scaled(graphics, percent), c.label(), c.pci, "graphics")
	}
	a.video(out, c, s, second)
	addFile(out, memoryUsed, c, 1, "mem_info_vram_used")
	addFile(out, memoryTotal, c, 1, "mem_info_vram_total")
	addSensors(out, c, "edge", "junction")
	if dir := hwmonDir(c); dir != "" {
		addFile(out, clockNow, c, 1, dir+"/freq1_input", "graphics") // Hz
		addFile(out, clockNow, c, 1, dir+"/freq2_input", "memory")
	}
}

// video adds the video engines. Of what the chip says of itself and what its users say, the larger is true: the chip's own figure stays
// at 0 on some, and processes may be out of sight.
func (a *amd) video(out *metric.Set, c card, s share, second bool) {
	chip, hasChip := readNumber(filepath.Join(c.dir, "vcn_busy_percent"))
	users := len(a.clients.known) > 0
	if !hasChip && !(second && users) {
		return
	}
	enc := max(scaled(chip, percent), s["enc"], s["enc_1"])
	out.Add(engineRatio, enc, c.label(), c.pci, "enc")
	out.Add(flussonicEnc, enc*100, c.label(), c.pci)
	if second && users { // from VCN 4 on, decoding is counted under enc
		out.Add(engineRatio, s["dec"], c.label(), c.pci, "dec")
		out.Add(engineRatio, s["jpeg"], c.label(), c.pci, "jpeg")
		out.Add(flussonicDec, s["dec"]*100, c.label(), c.pci)
	}
}
