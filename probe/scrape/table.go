// Package scrape relays Prometheus expositions of this host: other exporters by HTTP, and files that site scripts write.
package scrape

import (
	"slices"

	"headend-agent/probe"
)

// Kinds lists the probes of this package.
func Kinds() []probe.Kind {
	return []probe.Kind{
		{Name: "scrape", New: newTarget, Descs: append(slices.Clone(targetDescs), dropped)},
		{Name: "textfile", Auto: always, New: newTextfile, Descs: textfileDescs},
	}
}

func always(probe.Env) bool { return true }
