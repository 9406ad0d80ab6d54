package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const packaging = "../../packaging"

var usedName = regexp.MustCompile(`\b(flussonic|node|headend)_[a-zA-Z0-9_]+`)

// recorded matches the names of recording rules: level:metric:operation.
var recorded = regexp.MustCompile(`\b[a-z_]+:[a-zA-Z_]+:[a-z0-9_]+\b`)

// Each name in dashboards and rules is one that a probe emits, and each recorded one that is used is recorded.
func TestShippedNames(t *testing.T) {
	known := map[string]bool{}
	for _, s := range metricSections() {
		for _, d := range s.descs {
			known[d.Name] = true
		}
	}
	files, _ := filepath.Glob(packaging + "/grafana/*.json")
	rules, _ := filepath.Glob(packaging + "/alerts/*.yml")
	tests, _ := filepath.Glob(packaging + "/alerts/tests/*.yml")
	if len(files) < 6 || len(rules) < 5 || len(tests) < 4 {
		t.Fatalf("%d dashboards, %d files of rules, %d of their tests", len(files), len(rules), len(tests))
	}
	records := map[string]bool{}
	for _, r := range shippedRules(t) {
		records[r.Record] = true
	}
	used := map[string]bool{}
	for _, file := range slices.Concat(files, rules, tests) {
		text := string(readFile(t, file))
		for _, name := range recorded.FindAllString(text, -1) {
			if !records[name] {
				t.Errorf("%s: no rule records %s", file, name)
			}
		}
		for _, name := range usedName.FindAllString(recorded.ReplaceAllString(text, ""), -1) {
			used[name] = true
			if !known[name] {
				t.Errorf("%s: no probe emits %s", file, name)
			}
		}
	}
}

type shippedRule struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

func shippedRules(t *testing.T) []shippedRule {
	t.Helper()
	files, err := filepath.Glob(packaging + "/alerts/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	var all []shippedRule
	for _, file := range files {
		var f struct {
			Groups []struct{ Rules []shippedRule }
		}
		if err := yaml.Unmarshal(readFile(t, file), &f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, g := range f.Groups {
			all = append(all, g.Rules...)
		}
	}
	return all
}

// Each alert says what to do, how urgent it is, and fires in a test of its own.
func TestShippedAlerts(t *testing.T) {
	var tests strings.Builder
	files, _ := filepath.Glob(packaging + "/alerts/tests/*.yml")
	for _, file := range files {
		tests.Write(readFile(t, file))
	}
	for _, r := range shippedRules(t) {
		if r.Record != "" {
			if !strings.Contains(tests.String(), r.Record+"{") {
				t.Errorf("no test of what is recorded as %s", r.Record)
			}
			continue
		}
		if !strings.Contains(tests.String(), `labels: 'ALERTS{alertname="`+r.Alert+`"`) {
			t.Errorf("no test in which %s fires", r.Alert)
		}
		if r.Annotations["summary"] == "" || r.Annotations["runbook"] == "" || !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("%s lacks a summary, a runbook or a severity: %v %v", r.Alert, r.Annotations, r.Labels)
		}
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
