package main

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"headend-agent/internal/metric"
)

var update = flag.Bool("update", false, "rewrite METRICS.md")

// METRICS.md says what the descriptors say.
func TestMetricsPage(t *testing.T) {
	const path = "../../METRICS.md"
	want := metricsPage()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("METRICS.md is not what the descriptors say (%v): `make docs` writes it anew", err)
	}
}

// Each family has one owner, one of the three prefixes, and a help text.
func TestFamilies(t *testing.T) {
	owner := map[string]*metric.Desc{} // probes of several media servers share the descriptors of their common record
	for _, s := range metricSections() {
		for _, d := range s.descs {
			if o := owner[d.Name]; o != nil && o != d {
				t.Errorf("%s of %s is another probe's too", d.Name, s.probe)
			}
			owner[d.Name] = d
			if !familyName.MatchString(d.Name) && s.probe != "scrape" { // which has Prometheus' own up and scrape_*
				t.Errorf("%s of %s has none of the prefixes", d.Name, s.probe)
			}
			if d.Help == "" {
				t.Errorf("%s of %s has no help text", d.Name, s.probe)
			}
		}
	}
}
