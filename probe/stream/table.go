// Package stream reads media servers: their streams as one common record, and what they know of themselves. One server per file,
// or a few with its name in front.
package stream

import (
	"slices"

	"github.com/prometheus/common/config"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// Kinds lists the probes of this package.
func Kinds() []probe.Kind {
	common := slices.Concat(streamDescs(), serverDescs())
	return []probe.Kind{
		{Name: "flussonic", Auto: flussonicInstalled, New: newFlussonic, Descs: slices.Concat(common, vendorDescs())},
	}
}

func defaultConfig() Config { return Config{HTTPClientConfig: config.DefaultHTTPClientConfig} }

func vendorDescs() []*metric.Desc {
	ds := []*metric.Desc{vendorVersion, vendorBoot}
	for _, row := range vendorServerTable {
		ds = append(ds, row.desc)
	}
	for _, row := range vendorStreamTable {
		ds = append(ds, row.desc)
	}
	return ds
}
