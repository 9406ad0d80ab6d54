package main

import (
	"bytes"
	"os"
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
