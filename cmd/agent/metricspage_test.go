package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"headend-agent/internal/metric"
)

// familyName is the form of a family's name: the vendor's, node_exporter's, or our own.
var familyName = regexp.MustCompile(`^(flussonic|node|headend)_[a-zA-Z0-9_]+$`)

// metricSection is what one probe can emit.
type metricSection struct {
	probe string
	descs []*metric.Desc
}

func metricSections() []metricSection {
	var all []metricSection
	for _, k := range kinds() {
		all = append(all, metricSection{k.Name, k.Descs})
	}
	return append(all, metricSection{selfKind, selfDescs()})
}

const metricsIntro = `# Metrics

Generated from the descriptors by ` + "`make docs`" + `; a test holds it to them. Families whose names the kernel gives (fields of
/proc/meminfo, /proc/vmstat, /proc/net/netstat and the like) are listed by those that are always there.

- ` + "`flussonic_*`" + `: the media server's own names. Percent is 0 to 100.
- ` + "`node_*`" + `: node_exporter's names, labels and types.
- ` + "`headend_*`" + `: what neither has, in base units; ` + "`headend_agent_*`" + ` is the agent itself.

An absent reading is no sample, never 0. Every series also bears ` + "`job` and `instance`" + ` when it is pushed.
`

func metricsPage() []byte {
	var b bytes.Buffer
	b.WriteString(metricsIntro)
	for _, s := range metricSections() {
		if len(s.descs) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n| name | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n", s.probe)
		for _, d := range s.descs {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", d.Name, d.Type, d.Unit, strings.Join(d.Labels, ", "), strings.ReplaceAll(d.Help, "|", `\|`))
		}
	}
	return b.Bytes()
}
