// Package scrape relays Prometheus expositions of this host: other exporters by HTTP, and files that site scripts write.
package scrape

import "headend-agent/probe"

// Kinds lists the probes of this package.
func Kinds() []probe.Kind {
	return []probe.Kind{
		{Name: "scrape", New: newTarget, Descs: targetDescs},
		{Name: "textfile", Auto: always, New: newTextfile, Descs: textfileDescs},
	}
}

func always(probe.Env) bool { return true }
