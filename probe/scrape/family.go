package scrape

import (
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/textparse"

	"headend-agent/internal/metric"
)

// family is what an exposition says about its series of one name.
type family struct {
	typ  metric.Type
	help string
	unit string
}

var types = map[model.MetricType]metric.Type{
	model.MetricTypeCounter: metric.Counter, model.MetricTypeGauge: metric.Gauge, model.MetricTypeHistogram: metric.Histogram,
	model.MetricTypeGaugeHistogram: metric.GaugeHistogram, model.MetricTypeSummary: metric.Summary, model.MetricTypeInfo: metric.Info,
	model.MetricTypeStateset: metric.StateSet,
}

// suffixes that a series may have over the name of its family, and of which types they are parts. _total and _info
// belong to the name of what is pushed.
var suffixes = map[string][]metric.Type{
	"_total": {metric.Counter}, "_info": {metric.Info},
	"_created": {metric.Counter, metric.Histogram, metric.Summary, metric.GaugeHistogram},
	"_bucket":  {metric.Histogram, metric.GaugeHistogram}, "_sum": {metric.Histogram, metric.Summary},
	"_count": {metric.Histogram, metric.Summary}, "_gsum": {metric.GaugeHistogram}, "_gcount": {metric.GaugeHistogram},
}

// metadata takes a HELP, TYPE or UNIT line. A change is rare; then all series are learned anew.
func (r *relay) metadata(p textparse.Parser, entry textparse.Entry) {
	var name, text []byte
	var typ model.MetricType
	switch entry {
	case textparse.EntryHelp:
		name, text = p.Help()
	case textparse.EntryType:
		name, typ = p.Type()
	case textparse.EntryUnit:
		name, text = p.Unit()
	default:
		return
	}
	f := r.families[string(name)]
	if f == nil {
		if len(r.families) > len(r.known.last)+forgetBeyond { // names that come and go
			clear(r.families)
		}
		f = &family{}
		r.families[string(name)] = f
	}
	switch {
	case entry == textparse.EntryType && f.typ != types[typ]:
		f.typ = types[typ]
	case entry == textparse.EntryHelp && f.help != string(text):
		f.help = string(text)
	case entry == textparse.EntryUnit && f.unit != string(text):
		f.unit = string(text)
	default:
		return
	}
	if r.runs > 1 { // in the first, metadata comes before its series
		r.edition++
	}
}

// familyOf finds what the exposition said about a series.
func (r *relay) familyOf(series string) *family {
	if f := r.families[series]; f != nil && f.typ != metric.Histogram && f.typ != metric.GaugeHistogram {
		return f
	}
	if i := strings.LastIndexByte(series, '_'); i > 0 {
		if f := r.families[series[:i]]; f != nil {
			for _, t := range suffixes[series[i:]] {
				if t == f.typ {
					return f
				}
			}
		}
	}
	return r.families[series]
}

// desc describes a series that is exposed under one name and, after relabelling, has another. Nil where the exposition says
// nothing of it.
func (r *relay) desc(exposed, name string) *metric.Desc {
	f := r.familyOf(exposed)
	if f == nil {
		return nil
	}
	if strings.HasSuffix(name, "_created") && f.typ != metric.Gauge {
		f = &family{typ: metric.Gauge, help: f.help}
	}
	switch f.typ {
	case metric.Histogram, metric.GaugeHistogram, metric.Summary: // described as one
		if i := strings.LastIndexByte(name, '_'); i > 0 && suffixes[name[i:]] != nil {
			name = name[:i]
		}
	}
	d := r.descs[name]
	if d == nil || d.Type != f.typ || d.Help != f.help || string(d.Unit) != f.unit {
		if len(r.descs) > len(r.known.last)+forgetBeyond {
			clear(r.descs)
		}
		d = &metric.Desc{Name: name, Help: f.help, Type: f.typ, Unit: metric.Unit(f.unit)}
		r.descs[name] = d
	}
	return d
}
