package push

import (
	"fmt"
	"maps"
	"slices"

	"headend-agent/internal/metric"
)

// What receivers commonly bound about a series: the smallest of their defaults. Mimir refuses what has more than 30 labels, and says so.
// VictoriaMetrics ignores a whole series with more than 40, or with a longer name of one than this, and answers 2xx nevertheless: nobody
// learns of that but from what is missing.
const (
	commonLabels = 30   // of a series, its name among them
	commonName   = 256  // bytes of a label's name; Mimir takes 1024
	commonValue  = 2048 // bytes of a label's value; VictoriaMetrics takes 4096
)

// Oversized tells, for people, which families a destination would get with labels beyond what receivers commonly take: a line for
// each, about its worst series as it goes out, with external labels and after relabelling.
func Oversized(cfg Config, external []metric.Label, series []metric.Ref) []string {
	shaper := newShaper(external, cfg.WriteRelabelConfigs)
	worst := map[string]excess{}
	for _, ref := range series {
		ls, _ := shaper.labels(ref)
		if name, e := exceeds(ls); e.what != "" && e.times > worst[name].times {
			worst[name] = e
		}
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(worst)) {
		lines = append(lines, fmt.Sprintf("%s has %s", name, worst[name].what))
	}
	return lines
}

// excess is what is too much about a series.
type excess struct {
	what  string
	times float64 // of the limit
}

func exceeds(ls []metric.Label) (name string, worst excess) {
	over := func(n, limit int, format string, args ...any) {
		if times := float64(n) / float64(limit); times > max(1, worst.times) {
			worst = excess{fmt.Sprintf(format, args...), times}
		}
	}
	over(len(ls), commonLabels, "%d labels, more than %d", len(ls), commonLabels)
	for _, l := range ls {
		if l.Name == metric.NameLabel {
			name = l.Value
		}
		short := l.Name[:min(len(l.Name), 64)]
		over(len(l.Name), commonName, "a label name of %d bytes, more than %d: %s...", len(l.Name), commonName, short)
		over(len(l.Value), commonValue, "%d bytes in label %s, more than %d", len(l.Value), short, commonValue)
	}
	return name, worst
}
