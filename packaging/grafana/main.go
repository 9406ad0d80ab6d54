// Command grafana writes the dashboards beside it: `go run ./packaging/grafana` in the root of the project, or `make docs`.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := "packaging/grafana"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	for _, d := range dashboards() {
		text, err := d.render()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, d.name+".json"), text, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func dashboards() []dashboard {
	return []dashboard{fleet(), server(), streams(), gpu(), dvb(), agent()}
}

// dashboard is what differs from one dashboard to the next.
type dashboard struct {
	name, title, about string
	variables          []variable
	rows               []row
}

type variable struct {
	name, label, query string
	many               bool // several values, all of them at first
}

type row struct {
	title  string
	panels []panel
}

// panel is one picture.
type panel struct {
	kind    string // timeseries, stat or table
	title   string
	help    string
	unit    string // Grafana's
	width   int    // of 24
	queries []query
	warn    float64 // colours from here on; 0: none
	bad     float64
	full    bool    // the axis ends at 1 or 100, by the unit
	signed  bool    // the axis need not begin at 0
	columns columns // of a table
}

type query struct{ expr, legend string }

// columns say how a table shows the query of the same place.
type columns struct {
	by   string // the label that joins the queries
	list []column
}

type column struct {
	title, unit string
	warn, bad   float64 // from here on yellow, red; 0: none
}

// object is a JSON object.
type object map[string]any

const panelHeight = 8

// panels lays the rows out, from left to right and down.
func (d dashboard) panels() []object {
	var panels []object
	id, y := 1, 0
	for _, r := range d.rows {
		if r.title != "" {
			panels = append(panels, object{"id": id, "type": "row", "title": r.title, "collapsed": false, "panels": []object{}, "gridPos": object{"h": 1, "w": 24, "x": 0, "y": y}})
			id, y = id+1, y+1
		}
		x, height := 0, 0
		for _, p := range r.panels {
			if x+p.width > 24 {
				x, y = 0, y+height
			}
			height = p.height()
			panels = append(panels, p.render(id, x, y))
			id, x = id+1, x+p.width
		}
		y += height
	}
	return panels
}

func (d dashboard) render() ([]byte, error) {
	variables := []object{{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}}
	for _, v := range d.variables {
		variables = append(variables, v.render())
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(object{
		"uid": "headend-" + d.name, "title": d.title, "description": d.about, "tags": []string{"headend"}, "schemaVersion": 39, "editable": true,
		"refresh": "30s", "time": object{"from": "now-6h", "to": "now"}, "timezone": "", "graphTooltip": 1,
		"templating": object{"list": variables}, "panels": d.panels(),
		"links": []object{{"type": "dashboards", "tags": []string{"headend"}, "title": "headend", "asDropdown": true, "keepTime": true, "includeVars": true}},
	})
	return b.Bytes(), err
}

func (v variable) render() object {
	o := object{"name": v.name, "label": v.label, "type": "query", "datasource": datasource, "query": object{"query": v.query, "refId": v.name}, "refresh": 2, "sort": 1}
	if v.many {
		o["multi"], o["includeAll"], o["allValue"] = true, true, ".*"
		o["current"] = object{"text": []string{"All"}, "value": []string{"$__all"}}
	}
	return o
}
