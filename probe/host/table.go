// Package host probes the Linux host: node_exporter's names, types and labels, and the host's rows of the media server's
// own table. One file per subject.
package host

import "headend-agent/probe"

// Kinds lists every probe of this package.
func Kinds() []probe.Kind {
	return []probe.Kind{
		{Name: "loadavg", Auto: always, New: newLoadavg, Descs: loadavgDescs},
	}
}

func always(probe.Env) bool { return true }
