package web

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// streamsShown is how many streams the page lists unless asked for all.
const streamsShown = 40

// view is a Status with what only the page needs.
type view struct {
	*Status
	Style     template.CSS
	AllShown  bool
	Shown     []Stream
	Counts    map[string]int // of streams, by state
	Gauges    []gauge
	Covers    string // how far back the sparklines go
	Failing   int    // probes
	Elsewhere []elsewhere
	Busy      []Probe // those that find something, or fail
	Cells     []cell
}

// gauge is a number of the machine with its last hour.
type gauge struct {
	Name, Value string
	Spark       template.HTML
}

// gauges are the pictures of the machine.
var gauges = []struct {
	track, name string
	format      func(float64) string
	top         float64 // of the scale; 0: the greatest value
}{
	{"cpu_percent", "CPU", percent, 100},
	{"memory_percent", "Memory", percent, 100},
	{"busiest_disk_percent", "Busiest disk", percent, 100},
	{"busiest_gpu_encoder_percent", "GPU encoder", percent, 100},
	{"busiest_interface_in_bytes_per_second", "Network in", bitsOfBytes, 0},
	{"busiest_interface_out_bytes_per_second", "Network out", bitsOfBytes, 0},
	{"clients", "Clients", group, 0},
	{"streams_up", "Streams up", group, 0},
}

// elsewhere are probes without anything to read here, by the reason.
type elsewhere struct{ Reason, Names string }

// cell is a slot in the picture of the ring.
type cell struct {
	Class, Title, Mark string
}

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"n":       func(v *float64) template.HTML { return number(v, group) },
	"span":    func(v *float64) template.HTML { return number(v, span) },
	"size":    func(v *float64) template.HTML { return number(v, size) },
	"bits":    func(v *float64) template.HTML { return number(v, bits) },
	"ms":      func(v *float64) template.HTML { return number(v, brief) },
	"offset":  func(v *float64) template.HTML { return number(v, offset) },
	"short":   short,
	"ptr":     func(v float64) *float64 { return &v },
	"percent": func(v *float64) string { return fmt.Sprintf("%.0f %%", *v*100) },
	"ago":     ago,
	"clock":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"covers":  covers,
	"spark":   func(values []float64) template.HTML { return spark(values, 0) },
	"join":    strings.Join,
	"mark": func(state string) template.HTML {
		return template.HTML(map[string]string{"ok": "✓", "up": "✓", "connected": "✓", "trouble": "✕", "down": "✕", "failing": "✕", "refusing": "✕", "warning": "!", "draining": "↑", "starting": "…"}[state])
	},
	"class": func(state string) string {
		switch state {
		case "ok", "up", "connected":
			return "good"
		case "trouble", "down", "failing", "refusing":
			return "bad"
		case "warning", "draining":
			return "warn"
		}
		return "idle"
	},
}).Parse(pageText))

// number writes a value for people, and for programs beside it exactly as /metrics has it.
func number(v *float64, format func(float64) string) template.HTML {
	if v == nil {
		return "–"
	}
	return template.HTML(fmt.Sprintf(`<data value="%v">%s</data>`, *v, format(*v)))
}

func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	v := newView(s.parts.status(s.history), r.URL.Query().Get("streams") == "all")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store")
	page.Execute(w, v)
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(s.parts.status(s.history))
}

func newView(s *Status, all bool) *view {
	v := &view{Status: s, Style: template.CSS(pageStyle), AllShown: all || len(s.Streams) <= streamsShown, Shown: s.Streams, Counts: map[string]int{}}
	for _, x := range s.Streams {
		v.Counts[x.State]++
	}
	if !v.AllShown {
		v.Shown = s.Streams[:streamsShown]
	}
	for _, g := range gauges {
		if values := s.History.Tracks[g.track]; values != nil {
			v.Covers = covers(values)
			v.Gauges = append(v.Gauges, gauge{g.name, latest(values, g.format), spark(values, g.top)})
		}
	}
	names := map[string][]string{} // of probes, by the reason
	for _, a := range s.Facts.Absent {
		names[a.Reason] = append(names[a.Reason], a.Name)
	}
	for _, p := range s.Probes {
		if p.Error != "" {
			v.Failing++
		}
		if p.Error == "" && p.Series != nil && *p.Series == 0 {
			names["run well and find nothing here"] = append(names["run well and find nothing here"], p.Name)
		} else {
			v.Busy = append(v.Busy, p)
		}
	}
	slices.SortStableFunc(v.Busy, func(a, b Probe) int { return cmp.Compare(b2i(a.Error == ""), b2i(b.Error == "")) })
	for reason, list := range names {
		v.Elsewhere = append(v.Elsewhere, elsewhere{reason, strings.Join(list, ", ")})
	}
	slices.SortFunc(v.Elsewhere, func(a, b elsewhere) int { return strings.Compare(a.Reason, b.Reason) })
	v.Cells = s.Ring.cells(s.Now)
	return v
}

// b2i orders false before true.
func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// covers says how far back values go.
func covers(values []float64) string {
	if len(values) == historyLength {
		return "last hour"
	}
	return "last " + span(float64(len(values))*historyStep.Seconds())
}

func percent(v float64) string { return fmt.Sprintf("%.0f %%", v) }

func bitsOfBytes(v float64) string { return bits(v * 8) }

func latest(values []float64, format func(float64) string) string {
	if v := values[len(values)-1]; v == v {
		return format(v)
	}
	return "–"
}

// ringCells is how many cells the picture of the ring has at most.
const ringCells = 64

// cells draws the ring from the oldest slot to the newest, and what is free after them. A cell may stand for several slots.
func (r Ring) cells(now time.Time) []cell {
	n := min(max(r.Room, len(r.Slots)), ringCells)
	if n == 0 || r.Room == 0 && len(r.Slots) == 0 {
		return nil
	}
	room := max(r.Room, len(r.Slots))
	cells := make([]cell, n)
	for i := range cells {
		from, to := i*room/n, (i+1)*room/n
		c := &cells[i]
		c.Class, c.Title = "free", "free"
		if from >= len(r.Slots) {
			continue
		}
		to = min(to, len(r.Slots))
		samples := 0
		c.Class = "disk"
		for _, x := range r.Slots[from:to] {
			samples += x.Samples
			if !x.OnDisk {
				c.Class = "memory"
			}
		}
		c.Title = fmt.Sprintf("%s samples, from %s", group(float64(samples)), ago(now, r.Slots[from].Oldest))
		for _, cur := range r.Cursors {
			if cur.Slot >= from && cur.Slot < to {
				c.Mark = strings.TrimPrefix(c.Mark+", "+cur.Destination, ", ")
			}
		}
	}
	return cells
}
