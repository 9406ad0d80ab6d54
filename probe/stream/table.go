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
		{Name: "mediamtx", Auto: always, New: newMediaMTX, Descs: common},
		{Name: "srs", Auto: always, New: newSRS, Descs: common},
		{Name: "tvheadend", Auto: always, New: newTvheadend, Descs: slices.Concat(common, inputDescs)},
		{Name: "nginx_rtmp", Auto: nginxRTMPInstalled, New: newNginxRTMP, Descs: common},
		{Name: "server_process", Auto: always, New: newProcesses, Descs: processDescs},
	}
}

// always is for what is looked for where nothing is to be disturbed: on a port that a server has for itself, in /proc.
func always(probe.Env) bool { return true }

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
