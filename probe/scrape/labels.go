package scrape

import (
	"errors"
	"fmt"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/model/textparse"

	"headend-agent/internal/metric"
)

// learn makes the series that p stands at, by Prometheus' rules: without a Ref where relabelling drops it, or another probe has its name.
func (r *relay) learn(p textparse.Parser, out *metric.Set) (known, error) {
	k := known{edition: r.edition}
	var own labels.Labels
	p.Labels(&own)
	exposed := own.Get(model.MetricNameLabel)
	if name, twice := own.HasDuplicateLabelNames(); twice {
		return k, fmt.Errorf("label name %q comes twice in a series of %q", name, exposed)
	}
	r.builder.Reset(own)
	r.addTarget(own)
	if !relabel.ProcessBuilder(r.builder, r.relabel...) {
		return k, nil
	}
	all := r.builder.Labels()
	name := all.Get(model.MetricNameLabel)
	if name == "" {
		return k, errors.New("a series has no metric name")
	}
	if !all.IsValid(model.UTF8Validation) {
		return k, fmt.Errorf("series %s has a name that is not valid", all)
	}
	if err := r.limits.check(all); err != nil {
		return k, err
	}
	if k.owned = r.owners[name] != ""; k.owned {
		return k, nil
	}
	r.scratch = r.scratch[:0]
	all.Range(func(l labels.Label) { r.scratch = append(r.scratch, metric.Label{Name: l.Name, Value: l.Value}) })
	k.ref = out.Intern(metric.NewLabels(r.scratch), r.desc(exposed, name))
	return k, nil
}

// addTarget adds the target's labels. One that the series has too is kept as exported_NAME, or wins with honor_labels.
func (r *relay) addTarget(own labels.Labels) {
	var conflicts []labels.Label
	r.target.Range(func(l labels.Label) {
		switch {
		case !own.Has(l.Name):
			r.builder.Set(l.Name, l.Value)
		case !r.honorLabels:
			if v := own.Get(l.Name); v != "" {
				conflicts = append(conflicts, labels.Label{Name: l.Name, Value: v})
			}
			r.builder.Set(l.Name, l.Value)
		}
	})
	for _, c := range conflicts {
		name := model.ExportedLabelPrefix + c.Name
		for r.builder.Get(name) != "" {
			name = model.ExportedLabelPrefix + name
		}
		r.builder.Set(name, c.Value)
	}
}

func (l limits) check(ls labels.Labels) error {
	if n := ls.Len(); l.labels > 0 && n > l.labels {
		return fmt.Errorf("series %.50s... has %d labels, label_limit is %d", ls, n, l.labels)
	}
	if l.nameLen <= 0 && l.valueLen <= 0 {
		return nil
	}
	return ls.Validate(func(x labels.Label) error {
		if l.nameLen > 0 && len(x.Name) > l.nameLen {
			return fmt.Errorf("label name %.50q... is longer than label_name_length_limit %d", x.Name, l.nameLen)
		}
		if l.valueLen > 0 && len(x.Value) > l.valueLen {
			return fmt.Errorf("value %.50q... of label %q is longer than label_value_length_limit %d", x.Value, x.Name, l.valueLen)
		}
		return nil
	})
}
