package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"headend-agent/internal/metric"
)

// familyName is the form of a family's name: the vendor's, node_exporter's, our own, or Prometheus' of a scrape.
var familyName = regexp.MustCompile(`^((flussonic|node|headend|scrape)_[a-zA-Z0-9_]+|up)$`)

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
- ` + "`up` and `scrape_*`" + `: Prometheus' own, of each relayed target.

An absent reading is no sample, never 0. Every series also bears ` + "`job` and `instance`" + ` when it is pushed.
`

func metricsPage() []byte {
	var b bytes.Buffer
	b.WriteString(metricsIntro)
	listed := map[*metric.Desc]string{} // by the probe that came first
	for _, s := range metricSections() {
		var own []*metric.Desc
		shared := ""
		for _, d := range s.descs {
			if first, ok := listed[d]; ok {
				shared = first
				continue
			}
			listed[d] = s.probe
			own = append(own, d)
		}
		if len(s.descs) > 0 {
			fmt.Fprintf(&b, "\n## %s\n", s.probe)
		}
		if shared != "" {
			fmt.Fprintf(&b, "\nThe families that are not the vendor's own of [%s](#%s), as far as this server tells them.\n", shared, shared)
		}
		if len(own) == 0 {
			continue
		}
		b.WriteString("\n| name | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n")
		for _, d := range own {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", d.Name, d.Type, d.Unit, strings.Join(d.Labels, ", "), strings.ReplaceAll(d.Help, "|", `\|`))
		}
	}
	return b.Bytes()
}
