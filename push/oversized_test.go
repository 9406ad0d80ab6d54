package push

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/relabel"

	"headend-agent/internal/metric"
)

func TestSeriesWithMoreLabelsThanReceiversTake(t *testing.T) {
	table := metric.NewTable()
	wide := func(name string, labels int) metric.Ref { // the name counts
		var pairs []string
		for i := range labels - 1 {
			pairs = append(pairs, fmt.Sprintf("l%d", i), "v")
		}
		return table.Intern(metric.LabelsOf(name, pairs...), nil)
	}
	external := []metric.Label{{Name: "instance", Value: "edge1"}, {Name: "job", Value: "headend"}}
	drop := relabel.DefaultRelabelConfig
	drop.Regex, drop.Action = relabel.MustNewRegexp("l1.*|secret"), relabel.LabelDrop
	all := []metric.Ref{
		wide("fits", 28), wide("wide", 29), wide("wide", 33),
		table.Intern(metric.LabelsOf("long", "secret", strings.Repeat("v", 2049)), nil),
		table.Intern(metric.LabelsOf("just", "secret", strings.Repeat("v", 2048)), nil),
		table.Intern(metric.LabelsOf("odd", strings.Repeat("n", 257), "v"), nil),
	}
	for name, c := range map[string]struct {
		rules []*relabel.Config
		want  string
	}{
		"as they are": {nil, "long has 2049 bytes in label secret, more than 2048; odd has a label name of 257 bytes, more than 256: " +
			strings.Repeat("n", 64) + "...; wide has 35 labels, more than 30"},
		"relabelled": {[]*relabel.Config{&drop}, "odd has a label name of 257 bytes, more than 256: " + strings.Repeat("n", 64) + "..."},
	} {
		cfg := config("http://x", func(cfg *Config) { cfg.WriteRelabelConfigs = c.rules })
		check(t, name, strings.Join(Oversized(cfg, external, all), "; "), c.want)
	}
}
