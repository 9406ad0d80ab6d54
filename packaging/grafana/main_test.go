package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The files are what the program writes.
func TestDashboardsAreWritten(t *testing.T) {
	for _, d := range dashboards() {
		want, err := d.render()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(d.name + ".json"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s.json is not what its source says (%v): `make docs` writes it anew", d.name, err)
		}
	}
}

// No panel lies on another, and each is within the width of the page.
func TestDashboardsGrid(t *testing.T) {
	for _, d := range dashboards() {
		taken := map[[2]int]string{}
		for _, p := range d.panels() {
			at := p["gridPos"].(object)
			title := p["title"].(string)
			for x := at["x"].(int); x < at["x"].(int)+at["w"].(int); x++ {
				for y := at["y"].(int); y < at["y"].(int)+at["h"].(int); y++ {
					if other, ok := taken[[2]int{x, y}]; ok {
						t.Fatalf("%s: %q lies on %q", d.name, title, other)
					}
					if x >= 24 {
						t.Fatalf("%s: %q is outside", d.name, title)
					}
					taken[[2]int{x, y}] = title
				}
			}
		}
	}
}

// units are Grafana's ids of those that the dashboards use.
var units = []string{
	"short", "s", "percent", "percentunit", "bytes", "decbytes", "bps", "Bps", "Kbits", "pps", "cps", "reqps", "hertz", "celsius", "dB", "dBm", "sci",
}

// shipped is what Grafana reads of a dashboard.
type shipped struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct{ List []shippedVariable }
	Panels        []shippedPanel
}

type shippedVariable struct {
	Name, Type string
	Query      any
}

type shippedPanel struct {
	ID          int
	Type, Title string
	Targets     []struct{ RefID, Expr string }
	FieldConfig struct {
		Defaults struct {
			Unit string
			Min  *float64
		}
		Overrides []struct {
			Matcher    struct{ Options string }
			Properties []struct {
				ID    string
				Value any
			}
		}
	}
	Transformations []struct {
		ID      string
		Options struct{ RenameByName map[string]string }
	}
}

var usedVariable = regexp.MustCompile(`\$\{?([a-zA-Z_]+)`)

// What Grafana would not complain about on import, and show wrongly: ids, units, variables, references.
func TestDashboardsAreSound(t *testing.T) {
	uids := map[string]bool{}
	for _, d := range dashboards() {
		text, err := d.render()
		if err != nil {
			t.Fatal(err)
		}
		var s shipped
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		if s.UID == "" || len(s.UID) > 40 || uids[s.UID] || s.Title == "" || s.SchemaVersion < 36 {
			t.Errorf("%s: uid %q, title %q, schema %d", d.name, s.UID, s.Title, s.SchemaVersion)
		}
		uids[s.UID] = true
		if n := bytes.Count(text, []byte(`"uid": `)) - 1; n != bytes.Count(text, []byte(`"uid": "${datasource}"`)) {
			t.Errorf("%s: a data source is not the variable", d.name)
		}
		s.variables(t, d.name)
		ids := map[int]bool{}
		for _, p := range s.Panels {
			at := d.name + ", " + p.Title
			if ids[p.ID] || p.ID == 0 || p.Title == "" {
				t.Errorf("%s: id %d", at, p.ID)
			}
			ids[p.ID] = true
			p.check(t, at)
		}
	}
	for _, d := range dashboards() {
		text, _ := d.render()
		for _, link := range regexp.MustCompile(`/d/([a-z-]+)`).FindAllSubmatch(text, -1) {
			if !uids[string(link[1])] {
				t.Errorf("%s links to %s", d.name, link[1])
			}
		}
	}
}

// variables are all used, and there are no others.
func (s shipped) variables(t *testing.T, name string) {
	used := map[string]bool{"datasource": true}
	for _, p := range s.Panels {
		for _, x := range p.Targets {
			for _, m := range usedVariable.FindAllStringSubmatch(x.Expr, -1) {
				used[m[1]] = true
			}
		}
	}
	delete(used, "__rate_interval") // Grafana's own
	for _, v := range s.Templating.List {
		if !used[v.Name] {
			t.Errorf("%s: the variable %s is not used", name, v.Name)
		}
		delete(used, v.Name)
	}
	if len(used) > 0 {
		t.Errorf("%s: no variables %v", name, used)
	}
}

func (p shippedPanel) check(t *testing.T, at string) {
	if p.Type == "row" {
		return
	}
	if len(p.Targets) == 0 || !slices.Contains([]string{"timeseries", "stat", "table"}, p.Type) {
		t.Errorf("%s: %d queries, type %s", at, len(p.Targets), p.Type)
	}
	refs := map[string]bool{}
	for _, x := range p.Targets {
		if refs[x.RefID] || x.Expr == "" {
			t.Errorf("%s: query %q: %q", at, x.RefID, x.Expr)
		}
		refs[x.RefID] = true
		negative := strings.Contains(x.Expr, "_dbm") || strings.Contains(x.Expr, "_decibels") || strings.Contains(x.Expr, "clock_offset")
		if p.FieldConfig.Defaults.Min != nil && negative {
			t.Errorf("%s: below zero it shows nothing", at)
		}
	}
	if unit := p.FieldConfig.Defaults.Unit; p.Type != "table" && !slices.Contains(units, unit) {
		t.Errorf("%s: unit %q", at, unit)
	}
	columns := map[string]bool{"instance": true}
	for _, x := range p.Transformations {
		for field, title := range x.Options.RenameByName {
			if !refs[strings.TrimPrefix(field, "Value #")] {
				t.Errorf("%s: column %q is of no query", at, title)
			}
			columns[title] = true
		}
	}
	for _, o := range p.FieldConfig.Overrides {
		if !columns[o.Matcher.Options] {
			t.Errorf("%s: there is no column %q", at, o.Matcher.Options)
		}
		for _, q := range o.Properties {
			if unit, ok := q.Value.(string); q.ID == "unit" && (!ok || !slices.Contains(units, unit)) {
				t.Errorf("%s, %s: unit %v", at, o.Matcher.Options, q.Value)
			}
		}
	}
}
