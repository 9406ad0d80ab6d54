// Package gpu probes the GPUs that transcode: NVIDIA's by its driver library in a child process, Intel's and AMD's by what the kernel
// tells. All speak in the same families.
package gpu

import (
	"cmp"
	"maps"
	"slices"

	"headend-agent/probe"
)

// Kinds lists every probe of this package.
func Kinds() []probe.Kind {
	return []probe.Kind{
		{Name: "gpu_nvidia", Auto: foundNVIDIA, New: newNVIDIA, Descs: slices.Concat(cardDescs, probeDescs)},
		{Name: "gpu_intel", Auto: found(vendorIntel), New: newIntel, Descs: kernelDescs},
		{Name: "gpu_amd", Auto: found(vendorAMD), New: newAMD, Descs: kernelDescs},
	}
}

// found tells whether there is a card of a vendor. Its driver may be loaded later.
func found(vendor string) func(probe.Env) bool {
	return func(env probe.Env) bool {
		all, _ := cards(env.Sys)
		return slices.ContainsFunc(all, func(c card) bool { return c.vendor == vendor })
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
