package gpu

import (
	"context"
	"path/filepath"
	"strings"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// amd reads AMD's GPUs by what the driver amdgpu tells in sysfs, and their video engines by the fdinfo of the processes that use them.
type amd struct {
	bus     bus
	clients *clients
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
	shares := a.clients.read(ctx)
	for _, c := range found {
		a.card(out, c, shares[c.pci])
	}
	return nil
}

func (a *amd) card(out *metric.Set, c card, s share) {
	name := readLine(c.dir, "product_name")
	if name == "" {
		name = "AMD " + strings.TrimPrefix(c.device, "0x")
	}
	graphics, answers := readNumber(filepath.Join(c.dir, "gpu_busy_percent"))
	addCard(out, c, "amd", name, answers || drmDir(c) != "")
	if answers {
		out.Add(engineRatio, scaled(graphics, percent), c.label(), c.pci, "graphics")
	}
	addVideo(out, c, s)
	addFile(out, memoryUsed, c, 1, "mem_info_vram_used")
	addFile(out, memoryTotal, c, 1, "mem_info_vram_total")
	addSensors(out, c, "edge", "junction")
	if dir := hwmonDir(c); dir != "" {
		addFile(out, clockNow, c, 1, dir+"/freq1_input", "graphics") // Hz
		addFile(out, clockNow, c, 1, dir+"/freq2_input", "memory")
	}
}

// addVideo adds the video engines. Of what the chip says of itself and what its users say, the larger is true: the chip's own figure stays
// at 0 on some, and processes may be out of sight.
func addVideo(out *metric.Set, c card, s share) {
	chip, hasChip := readNumber(filepath.Join(c.dir, "vcn_busy_percent"))
	if hasChip || s != nil {
		enc := max(scaled(chip, percent), s["enc"], s["enc_1"])
		out.Add(engineRatio, enc, c.label(), c.pci, "enc")
		out.Add(flussonicEnc, enc*100, c.label(), c.pci)
	}
	// An engine that no user has used has no line; from VCN 4 on, decoding is counted under enc and dec has none ever.
	if dec, used := s["dec"]; used {
		out.Add(engineRatio, dec, c.label(), c.pci, "dec")
		out.Add(flussonicDec, dec*100, c.label(), c.pci)
	}
	if jpeg, used := s["jpeg"]; used {
		out.Add(engineRatio, jpeg, c.label(), c.pci, "jpeg")
	}
}
