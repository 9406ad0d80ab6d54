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

// Each family has one owner (or several that share its descriptor), one of the three prefixes, and a help text.
func TestFamilies(t *testing.T) {
	owner := map[string]string{}
	descs := map[string]*metric.Desc{}
	for _, s := range metricSections() {
		for _, d := range s.descs {
			if o, twice := owner[d.Name]; twice && descs[d.Name] != d {
				t.Errorf("%s is emitted by %s and by %s", d.Name, o, s.probe)
			}
			owner[d.Name], descs[d.Name] = s.probe, d
			if !familyName.MatchString(d.Name) {
				t.Errorf("%s of %s has none of the prefixes", d.Name, s.probe)
			}
			if d.Help == "" {
				t.Errorf("%s of %s has no help text", d.Name, s.probe)
			}
		}
	}
}
