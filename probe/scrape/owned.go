package scrape

import (
	"log/slog"

	"headend-agent/internal/metric"
)

// droppedDesc describes what is emitted from the first time on that something was left out.
func droppedDesc(kind, of string) *metric.Desc {
	return &metric.Desc{Name: "headend_" + kind + "_samples_dropped_total", Type: metric.Counter, Labels: []string{"reason"},
		Help: "Samples of " + of + " that were left out; own_name: another probe has their name, one of the vendor's (flussonic_*)."}
}

const ownName = "own_name"

// ownNames counts what was left out because another probe has its name, and says when that begins and ends.
type ownNames struct {
	log   *slog.Logger
	total int
	now   bool
}

func (o *ownNames) count(n int) {
	o.total += n
	switch now := n > 0; {
	case now && !o.now:
		o.log.Warn("series are left out, since the agent's own probes have their names; enabled: false for the probe flussonic, or metric_relabel_configs, lets them through", "series", n)
	case !now && o.now:
		o.log.Info("no more series have names of the agent's own probes")
	}
	o.now = n > 0
}
