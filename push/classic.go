package push

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"

	"headend-agent/internal/metric"
)

// Remote write 1.0 knows names of letters, digits, _ and, in metric names, colons only.

// classicName tells whether 1.0 may carry a name.
func classicName(name string, colons bool) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || '0' <= c && c <= '9' && i > 0 || c == ':' && colons) {
			return false
		}
	}
	return name != ""
}

// makeClassic replaces what 1.0 does not know by underscores, as Prometheus does for old readers. Of names that become the same, the
// first in order stays.
func makeClassic(ls []prompb.Label) []prompb.Label {
	for i := range ls {
		if ls[i].Name == metric.NameLabel {
			ls[i].Value = model.EscapeName(ls[i].Value, model.UnderscoreEscaping)
		} else if !classicName(ls[i].Name, false) {
			ls[i].Name = strings.ReplaceAll(model.EscapeName(ls[i].Name, model.UnderscoreEscaping), ":", "_")
		}
	}
	slices.SortStableFunc(ls, func(a, b prompb.Label) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(ls, func(a, b prompb.Label) bool { return a.Name == b.Name })
}
