package web

import (
	"math"

	"headend-agent/internal/metric"
)

// reading is a sample of the last round.
type reading struct {
	labels *metric.Interned
	value  float64
}

// readings are the samples of some families.
type readings map[string][]reading

// read takes the families of names from the last rounds: those that /metrics shows, too.
func read(latest func(func(metric.Round)), names ...string) readings {
	r := make(readings, len(names))
	for _, name := range names {
		r[name] = nil
	}
	latest(func(round metric.Round) {
		for i, s := range round.Series {
			name := s.Desc().Name
			list, wanted := r[name]
			if v := round.Values[i]; wanted && !math.IsNaN(v) && !math.IsInf(v, 0) { // neither is a number in JSON
				r[name] = append(list, reading{&s.Labels, v})
			}
		}
	})
	return r
}

// one returns the first sample that has these labels, given as names and values; nil where there is none.
func (r readings) one(name string, pairs ...string) *float64 {
	for i := range r[name] {
		if r[name][i].has(pairs) {
			return &r[name][i].value
		}
	}
	return nil
}

func (x reading) has(pairs []string) bool {
	for i := 0; i+1 < len(pairs); i += 2 {
		if x.labels.Get(pairs[i]) != pairs[i+1] {
			return false
		}
	}
	return true
}

// by returns the samples that have these labels, by another label.
func (r readings) by(label, name string, pairs ...string) map[string]float64 {
	all := map[string]float64{}
	for _, x := range r[name] {
		if x.has(pairs) {
			all[x.labels.Get(label)] = x.value
		}
	}
	return all
}
