package gpu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/probe"
	"headend-agent/probe/gpu/nvmlchild"
)

// nvidiaConfig is the section gpu_nvidia.
type nvidiaConfig struct {
	Library string `yaml:"library"` // where libnvidia-ml.so.1 is, when the dynamic linker does not know
}

// nvidia reads NVIDIA's GPUs by NVML, in a child process.
type nvidia struct {
	config nvidiaConfig
	env    probe.Env
	sup    *supervisor
	bus    bus
	seen   map[string]nvmlchild.GPU // by PCI address: GPUs that have answered
}

// seenLimit bounds how many GPUs are remembered.
const seenLimit = 64

func newNVIDIA(decode func(any) error, env probe.Env) (probe.Probe, error) {
	n := &nvidia{env: env, bus: bus{sys: env.Sys, wanted: isExpected}, seen: map[string]nvmlchild.GPU{}}
	if err := decode(&n.config); err != nil {
		return nil, err
	}
	if n.config.Library != "" && !filepath.IsAbs(n.config.Library) {
		return nil, fmt.Errorf("library: %q is no absolute path", n.config.Library)
	}
	var args []string
	if n.config.Library != "" {
		args = []string{"--" + nvmlchild.LibraryFlag + "=" + n.config.Library}
	}
	start := func() (*process, error) { return startProcess(args...) }
	n.sup = newSupervisor(start, n.module, defaultLimits(), env.Log)
	return n, nil
}

// foundNVIDIA tells whether there is a GPU of NVIDIA's, or its driver.
func foundNVIDIA(env probe.Env) bool {
	all, _ := cards(env.Sys)
	return slices.ContainsFunc(all, isExpected) || hasNode(env)
}

// isExpected tells whether a card should be seen by NVML. Whoever has bound the free driver wants it otherwise.
func isExpected(c card) bool {
	return c.vendor == vendorNVIDIA && (c.driver == "nvidia" || c.driver == "")
}

func hasNode(env probe.Env) bool {
	_, err := os.Stat(filepath.Join(env.Dev, "nvidiactl"))
	return err == nil
}

// module returns the version of the loaded kernel module.
func (n *nvidia) module() string {
	var buf [512]byte
	b, err := readFile(filepath.Join(n.env.Proc, "driver/nvidia/version"), buf[:])
	if err != nil {
		return ""
	}
	return moduleVersion(b)
}

// moduleVersion finds the version in /proc/driver/nvidia/version: the word of its first line that is made of digits and dots.
func moduleVersion(b []byte) string {
	line, _, _ := bytes.Cut(b, []byte{'\n'})
	for _, word := range bytes.Fields(line) {
		if bytes.IndexByte(word, '.') > 0 && len(bytes.Trim(word, "0123456789.")) == 0 {
			return string(word)
		}
	}
	return ""
}

// Inherit takes over the child and the counts of the probe before.
func (n *nvidia) Inherit(before probe.Probe) {
	old, ok := before.(*nvidia)
	if !ok {
		return
	}
	if old.config != n.config {
		old.Close()
		return
	}
	n.sup, n.seen = old.sup, old.seen
}

// Close ends the child.
func (n *nvidia) Close() error {
	n.sup.stop()
	return nil
}

// Release ends the child and keeps away from the GPUs for d. It returns when they are free, or ctx ends.
func (n *nvidia) Release(ctx context.Context, d time.Duration) error { return n.sup.release(ctx, d) }

func (n *nvidia) Collect(ctx context.Context, out *metric.Set) error {
	ctx, cancel := probe.Early(ctx)
	defer cancel()
	expected, _, err := n.bus.cards()
	if err != nil {
		return err
	}
	if len(expected) == 0 && len(n.seen) == 0 && !hasNode(n.env) {
		return nil // nothing to talk to: no child is started
	}
	start := time.Now()
	r, err := n.sup.read(ctx, n.whole)
	if r != nil {
		out.Add(probeDuration, time.Since(start).Seconds())
		out.Add(probeMemory, float64(r.RSS))
		n.add(out, r)
	}
	released := errors.Is(err, errReleased)
	if !released {
		n.addMissing(out, r)
	}
	n.sup.count(ctx, out, n.label)
	if err != nil && !released {
		return &probe.Partial{Err: err}
	}
	return nil
}

// label is the value of the label "gpu" of a card that has answered.
func (n *nvidia) label(pci string) string { return strconv.Itoa(n.seen[pci].Index) }

// whole tells whether every GPU on the bus answers.
func (n *nvidia) whole(r *nvmlchild.Report) bool {
	answers := func(pci string) bool {
		return slices.ContainsFunc(r.GPUs, func(g nvmlchild.GPU) bool { return g.PCI == pci && g.Lost == 0 })
	}
	return !slices.ContainsFunc(n.bus.found, func(c card) bool { return !answers(c.pci) }) &&
		!slices.ContainsFunc(r.GPUs, func(g nvmlchild.GPU) bool { return g.Lost != 0 })
}

// add adds a report.
func (n *nvidia) add(out *metric.Set, r *nvmlchild.Report) {
	for i := range r.GPUs {
		g := &r.GPUs[i]
		if _, known := n.seen[g.PCI]; known || len(n.seen) < seenLimit {
			n.seen[g.PCI] = nvmlchild.GPU{Index: g.Index, PCI: g.PCI}
		}
		gpu := strconv.Itoa(g.Index)
		out.Add(info, 1, gpu, g.PCI, g.UUID, g.Name, "nvidia", r.Driver)
		if g.Lost != 0 {
			out.Add(up, 0, gpu, g.PCI)
			continue
		}
		out.Add(up, 1, gpu, g.PCI)
		addReadings(out, g, gpu)
	}
}

// addMissing adds the GPUs that are on the bus, or have been seen, and are not in the report; r may be nil.
func (n *nvidia) addMissing(out *metric.Set, r *nvmlchild.Report) {
	reported := func(pci string) bool {
		return r != nil && slices.ContainsFunc(r.GPUs, func(g nvmlchild.GPU) bool { return g.PCI == pci })
	}
	for _, c := range n.bus.found {
		if _, seen := n.seen[c.pci]; !seen && !reported(c.pci) {
			out.Add(up, 0, c.label(), c.pci)
		}
	}
	for _, pci := range sortedKeys(n.seen) {
		if !reported(pci) {
			out.Add(up, 0, n.label(pci), pci)
		}
	}
}
