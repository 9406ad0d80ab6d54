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

## Where sources contradict each other

- ` + "`flussonic_stream_bitrate`" + ` is the number of the server's API, in kbit/s, although the vendor's guide says kB/s: the server's own pages and
  dashboards show the same number. ` + "`headend_stream_bitrate_bits_per_second`" + ` is in base units.
- ` + "`flussonic_stream_client_delay`" + ` is emitted only where the server tells that field, which no known version does. The time since the last
  frame is another thing and has a name of its own, ` + "`headend_stream_ts_delay_seconds`" + `.
- ` + "`flussonic_stream_dvr_info_disk_size`" + ` is the field disk_size. Versions that tell only bytes mean something else by it; the setting
  dvr_bytes_as_disk_size passes it off as the same.
- ` + "`flussonic_streams`" + ` counts all streams, online or not; ` + "`headend_server_online_streams`" + ` those that are online.
- ` + "`flussonic_memory_usage`, `_cpu_usage`, `_disk_*`, `_net_*`, `_gpu_*` and `_dvb_*`" + ` are always the host's own readings. What the server
  believes of them is ` + "`headend_server_*`" + `. What a relayed exposition of this host tells under a name that a probe has is left out, and counted
  in ` + "`headend_scrape_samples_dropped_total`" + `.
- The label ` + "`name` of `flussonic_dvb_card_strength`" + ` is what ` + "`names:`" + ` of the probe dvb says; else what a Flussonic on this machine calls the card, from
  its first answer on; else adapterN.frontendM. ` + "`headend_server_dvb_*` and `headend_dvb_input_*` (Tvheadend) bear `adapter` and `frontend`" + ` in the same form as
  ` + "`headend_dvb_frontend_*`" + ` where the server tells them, so that both can be joined.
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
