// Package metric holds the words that probes, buffer and push share: descriptors, series, label sets and rounds.
package metric

// Type is what a family counts, in Prometheus' sense.
type Type uint8

const (
	Unknown Type = iota
	Counter
	Gauge
	Histogram
	Summary
	Info
	StateSet
	GaugeHistogram
)

var typeNames = [...]string{"unknown", "counter", "gauge", "histogram", "summary", "info", "stateset", "gaugehistogram"}

// String returns the name that the exposition formats use.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return typeNames[Unknown]
}

// Unit names the unit of a family's values. Families in base units carry it in their name too.
type Unit string

const (
	None          Unit = ""
	Bytes         Unit = "bytes"
	Seconds       Unit = "seconds"
	Milliseconds  Unit = "milliseconds"
	Percent       Unit = "percent" // 0 to 100
	Ratio         Unit = "ratio"   // 0 to 1
	Celsius       Unit = "celsius"
	Hertz         Unit = "hertz"
	Volts         Unit = "volts"
	Amperes       Unit = "amperes"
	Watts         Unit = "watts"
	Joules        Unit = "joules"
	RPM           Unit = "rpm"
	Decibels      Unit = "decibels"
	DBm           Unit = "dbm"
	BitsPerSecond Unit = "bits_per_second"
	KbitPerSecond Unit = "kilobits_per_second"
)

// Desc describes a family. It is compared by its address and never changes.
type Desc struct {
	Name   string
	Help   string
	Type   Type
	Unit   Unit
	Labels []string // names, in the order in which Set.Add takes the values
}
