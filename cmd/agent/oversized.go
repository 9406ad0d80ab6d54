package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"headend-agent/internal/config"
	"headend-agent/internal/metric"
	"headend-agent/probe"
	"headend-agent/push"
)

const oversizedRemedy = "leave labels out: write_relabel_configs: [{regex: NAME, action: labeldrop}]; or raise the receiver's limits (docs/fleet.md). " +
	"Some refuse such series, VictoriaMetrics throws them away and says nothing"

// oversized is a list of families, or the beginning of a long one.
func oversized(lines []string) string {
	const most = 5
	if more := len(lines) - most; more > 0 {
		lines = append(slices.Clone(lines[:most]), fmt.Sprintf("and %d more families", more))
	}
	return strings.Join(lines, "\n")
}

// warnOversized warns of what the configuration alone makes too many or too long labels of.
func warnOversized(w io.Writer, cfg *config.Config, env probe.Env) {
	list, err := instances(cfg, env, slog.New(slog.DiscardHandler))
	if err != nil {
		return // check has said so
	}
	external, series := externalLabels(cfg, env.Hostname), declared(list)
	for _, rw := range cfg.RemoteWrite {
		if lines := push.Oversized(rw, external, series); len(lines) > 0 {
			fmt.Fprintf(w, "warning: remote_write %s: %s\n  %s\n", rw.Destination(), strings.ReplaceAll(oversized(lines), "\n", "\n  "), oversizedRemedy)
		}
	}
}

// labelled is a probe whose series all bear labels from the configuration.
type labelled interface{ Labels() metric.Labels }

// declared makes a series of each family that the probes can emit, with short values, and one for each that has labels
// of its own.
func declared(list []probe.Instance) (series []metric.Ref) {
	families := map[string][]*metric.Desc{}
	for _, k := range kinds() {
		families[k.Name] = k.Descs
	}
	table := metric.NewTable()
	for _, i := range list {
		if p, ok := i.Probe.(labelled); ok {
			series = append(series, table.Intern(p.Labels(), nil))
			continue
		}
		for _, d := range families[i.Kind] {
			var pairs []string
			for _, name := range d.Labels {
				pairs = append(pairs, name, "x")
			}
			series = append(series, table.Intern(metric.LabelsOf(d.Name, pairs...), d))
		}
	}
	return series
}
