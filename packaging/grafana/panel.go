package main

var datasource = object{"type": "prometheus", "uid": "${datasource}"}

func (p panel) height() int {
	switch p.kind {
	case "stat":
		return 4
	case "table":
		return 11
	}
	return panelHeight
}

func (p panel) render(id, x, y int) object {
	var targets []object
	for i, q := range p.queries {
		t := object{"refId": string(rune('A' + i)), "datasource": datasource, "expr": q.expr}
		if p.kind == "timeseries" {
			t["legendFormat"] = q.legend
		} else {
			t["instant"], t["range"] = true, false
		}
		if p.kind == "table" {
			t["format"] = "table"
		}
		targets = append(targets, t)
	}
	defaults := object{"unit": p.unit}
	if p.kind != "table" && !p.signed {
		defaults["min"] = 0
	}
	if p.full {
		defaults["max"] = map[string]int{"percent": 100, "percentunit": 1}[p.unit]
	}
	defaults["thresholds"] = thresholds(p.warn, p.bad)
	o := object{
		"id": id, "type": p.kind, "title": p.title, "datasource": datasource, "targets": targets,
		"gridPos": object{"h": p.height(), "w": p.width, "x": x, "y": y}, "fieldConfig": object{"defaults": defaults, "overrides": []object{}},
	}
	if p.help != "" {
		o["description"] = p.help
	}
	switch p.kind {
	case "timeseries":
		custom := object{"fillOpacity": 8, "lineWidth": 1, "showPoints": "never", "spanNulls": false}
		if p.warn != 0 || p.bad != 0 {
			custom["thresholdsStyle"] = object{"mode": "line"}
		}
		defaults["custom"], defaults["color"] = custom, object{"mode": "palette-classic"}
		o["options"] = object{"legend": object{"displayMode": "list", "placement": "bottom"}, "tooltip": object{"mode": "multi", "sort": "desc"}}
	case "stat":
		o["options"] = object{"colorMode": "value", "graphMode": "none", "reduceOptions": object{"calcs": []string{"lastNotNull"}}}
	case "table":
		p.table(o)
	}
	return o
}

// thresholds colour green, from warn on yellow, from bad on red.
func thresholds(warn, bad float64) object {
	steps := []object{{"color": "green", "value": nil}}
	if warn != 0 {
		steps = append(steps, object{"color": "orange", "value": warn})
	}
	if bad != 0 {
		steps = append(steps, object{"color": "red", "value": bad})
	}
	return object{"mode": "absolute", "steps": steps}
}

// table joins the queries by a label, the worst in the first column on top.
func (p panel) table(o object) {
	var overrides []object
	names := object{}
	for i, c := range p.columns.list {
		field := "Value #" + string(rune('A'+i))
		names[field] = c.title
		properties := []object{{"id": "unit", "value": c.unit}}
		if c.warn != 0 || c.bad != 0 {
			properties = append(properties, object{"id": "thresholds", "value": thresholds(c.warn, c.bad)},
				object{"id": "custom.cellOptions", "value": object{"type": "color-background", "mode": "basic"}})
		}
		overrides = append(overrides, object{"matcher": object{"id": "byName", "options": c.title}, "properties": properties})
	}
	if p.columns.by == "instance" {
		overrides = append(overrides, object{"matcher": object{"id": "byName", "options": "instance"}, "properties": []object{{
			"id": "links", "value": []object{{"title": "this server", "url": "/d/headend-server?var-instance=${__value.text}&var-datasource=${datasource}"}}}}})
	}
	o["fieldConfig"].(object)["overrides"] = overrides
	o["transformations"] = []object{
		{"id": "merge", "options": object{}},
		{"id": "organize", "options": object{"excludeByName": object{"Time": true}, "renameByName": names}},
	}
	o["options"] = object{"showHeader": true, "sortBy": []object{{"displayName": p.columns.list[0].title, "desc": true}}}
}

// graph is a picture over time of one or more queries.
func graph(title, unit string, width int, queries ...query) panel {
	return panel{kind: "timeseries", title: title, unit: unit, width: width, queries: queries}
}

// stat is one number.
func stat(title, unit string, width int, expr string) panel {
	return panel{kind: "stat", title: title, unit: unit, width: width, queries: []query{{expr, ""}}}
}

func (p panel) limits(warn, bad float64) panel {
	p.warn, p.bad = warn, bad
	return p
}

// orLess is for values that may be negative.
func (p panel) orLess() panel {
	p.signed = true
	return p
}

func (p panel) upTo100() panel {
	p.full = true
	return p
}

func (p panel) says(help string) panel {
	p.help = help
	return p
}
