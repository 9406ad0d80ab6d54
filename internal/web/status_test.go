package web

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"headend-agent/internal/metric"
)

// bench is a server of pages with facts and metrics of the test's own.
type bench struct {
	*Server
	facts  Facts
	values map[string]float64 // by name and labels, as in the text format
	table  *metric.Table
	descs  map[string]*metric.Desc
	ms     int64
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{facts: Facts{Host: "edge-1", Config: "agent.yml", ConfigOK: true}, values: map[string]float64{}, table: metric.NewTable(), descs: map[string]*metric.Desc{}, ms: 1}
	s, err := Listen("127.0.0.1:0", "", Parts{Latest: b.latest, Facts: func() Facts { return b.copy() }}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.listener.Close() })
	b.Server = s
	return b
}

func (b *bench) copy() Facts {
	f := b.facts
	f.Probes, f.Destinations = slices.Clone(f.Probes), slices.Clone(f.Destinations)
	return f
}

var labelPair = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)

func (b *bench) latest(yield func(metric.Round)) {
	r := metric.Round{Source: "agent", TimeMs: b.ms}
	for _, key := range slices.Sorted(maps.Keys(b.values)) {
		name, rest, _ := strings.Cut(key, "{")
		if b.descs[name] == nil {
			b.descs[name] = &metric.Desc{Name: name, Help: "x", Type: metric.Gauge}
		}
		var pairs []string
		for _, m := range labelPair.FindAllStringSubmatch(rest, -1) {
			pairs = append(pairs, m[1], m[2])
		}
		r.Series = append(r.Series, b.table.Intern(metric.LabelsOf(name, pairs...), b.descs[name]))
		r.Values = append(r.Values, b.values[key])
	}
	yield(r)
}

func (b *bench) get(t *testing.T, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	b.mux().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

func (b *bench) json(t *testing.T) *Status {
	t.Helper()
	var s Status
	if err := json.Unmarshal([]byte(b.get(t, "/api/v1/status")), &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

const rw = "headend_agent_remote_write_"

// A destination's state, and what is said of it.
func TestDestinations(t *testing.T) {
	b := newBench(t)
	b.facts.Destinations = []Destination{{Name: "main", URL: "https://prometheus.example/api/v1/write"}}
	for _, c := range []struct {
		state, health   string
		oldest, deliver float64
		trouble         string
	}{
		{"starting", "ok", 1, 0, ""},
		{"connected", "ok", 5, 1000, ""},
		{"draining", "ok", 3600, 1000, ""},
		{"failing", "trouble", 3600, 1000, "connection refused"},
	} {
		b.values[rw+`oldest_pending_seconds{destination="main"}`] = c.oldest
		b.values[rw+`samples_delivered_total{destination="main"}`] = c.deliver
		b.facts.Destinations[0].Trouble, b.facts.Destinations[0].Since = c.trouble, time.Now().Add(-90*time.Second)
		s := b.json(t)
		if s.Destinations[0].State != c.state || s.Health != c.health {
			t.Errorf("%+v: %s, %s", c, s.Destinations[0].State, s.Health)
		}
		page := b.get(t, "/")
		if !strings.Contains(page, `data-state="`+c.state+`"`) || !strings.Contains(page, c.trouble) {
			t.Errorf("%s: not on the page\n%s", c.state, page)
		}
	}
	if s := b.json(t); len(s.Findings) != 1 || s.Findings[0].Text != "main: nothing gets through for 1 min 30 s: connection refused" {
		t.Errorf("%+v", s.Findings)
	}
	b.facts.Destinations[0].Since = time.Time{}
	if s := b.json(t); s.Findings[0].Text != "main: nothing gets through: connection refused" || strings.Contains(b.get(t, "/"), "0001-01-01") {
		t.Errorf("%+v", s.Findings)
	}
	b.facts.Destinations = append(b.facts.Destinations, Destination{Name: "second"})
	if s := b.json(t); s.Health != "warning" {
		t.Errorf("one of two works, and that is %s", s.Health)
	}
}

// A backlog shows how far it has been drained, and how long the rest takes.
func TestDrain(t *testing.T) {
	b := newBench(t)
	b.facts.Destinations = []Destination{{Name: "main"}}
	b.values[rw+`oldest_pending_seconds{destination="main"}`] = 7200
	b.values[rw+`samples_delivered_total{destination="main"}`] = 1
	pending := rw + `samples_pending{destination="main"}`
	for _, v := range []float64{100, 1000, 100_000, 100_000, 90_000, 80_000, 70_000} {
		b.values[pending] = v
		b.history.record(b.latest)
	}
	d := b.json(t).Destinations[0]
	if d.State != "draining" || *d.Peak != 100_000 || fmt.Sprintf("%.2f", *d.Drained) != "0.30" || *d.DrainTime != 70_000/(30_000/20.0) {
		t.Errorf("%s, of %v drained %v, in %v", d.State, *d.Peak, *d.Drained, *d.DrainTime)
	}
	b.facts.Destinations[0].Trouble = "no route"
	if d := b.json(t).Destinations[0]; d.DrainTime != nil {
		t.Errorf("drained in %v s, though nothing gets through", *d.DrainTime)
	}
}

// What was lost within the hour is a finding; what was lost before is not.
func TestLosses(t *testing.T) {
	b := newBench(t)
	b.facts.Destinations = []Destination{{Name: "main", Said: "out of bounds"}}
	b.values[rw+`samples_refused_total{destination="main"}`] = 7
	b.values[rw+`samples_dropped_total{destination="main",reason="overflow"}`] = 5
	b.history.record(b.latest)
	b.history.record(b.latest)
	if s := b.json(t); s.Health != "ok" {
		t.Errorf("%+v", s.Findings)
	}
	b.values[rw+`samples_refused_total{destination="main"}`] = 10
	b.history.record(b.latest)
	if s := b.json(t); s.Health != "warning" || s.Findings[0].Text != "main: 3 samples refused or dropped within the hour" || s.Findings[0].Fix != "the receiver said: out of bounds" {
		t.Errorf("%+v", s.Findings)
	}
}

func TestStreamsAndServers(t *testing.T) {
	b := newBench(t)
	b.facts.Destinations = []Destination{{Name: "main"}}
	for i := range 60 {
		b.values[fmt.Sprintf(`headend_stream_alive{server="flussonic",stream="ch%02d"}`, i)] = 1
	}
	b.values[`headend_stream_alive{server="flussonic",stream="ch30"}`] = 0
	b.values[`headend_stream_status{server="flussonic",status="waiting",stream="ch30"}`] = 1
	b.values[`headend_stream_alive{server="flussonic",stream="ch31"}`] = 0
	b.values[`headend_stream_on_demand{server="flussonic",stream="ch31"}`] = 1
	b.values[`flussonic_stream_client_count{stream="ch00"}`] = 12
	b.values[`headend_stream_up{server="flussonic"}`] = 1
	b.values[`headend_server_info{build="1",kind="flussonic",server="flussonic",version="25.11"}`] = 1
	b.values[`flussonic_clients{}`] = 700
	s := b.json(t)
	if s.Health != "trouble" || s.Findings[0].Text != "1 of 60 streams is down: ch30" {
		t.Errorf("%s %+v", s.Health, s.Findings)
	}
	if x := s.Streams[0]; x.Name != "ch30" || x.State != "down" || x.Status != "waiting" {
		t.Errorf("the worst is %+v", x)
	}
	if x := s.Streams[59]; x.Name != "ch31" || x.State != "on demand" {
		t.Errorf("the last is %+v", x)
	}
	if x := s.Servers; len(x) != 1 || !x[0].Up || x[0].Version != "25.11" || *x[0].Clients != 700 {
		t.Errorf("%+v", x)
	}
	if n := strings.Count(b.get(t, "/"), `<span class="clip">ch`); n != streamsShown {
		t.Errorf("%d streams on the page", n)
	}
	if n := strings.Count(b.get(t, "/?streams=all"), `<span class="clip">ch`); n != 60 {
		t.Errorf("%d streams on the page of all", n)
	}
}

// A finding names some of the streams that are down, and tells how many more there are.
func TestManyStreamsDown(t *testing.T) {
	b := newBench(t)
	b.facts.Destinations = []Destination{{Name: "main"}}
	for i := range 5 {
		b.values[fmt.Sprintf(`headend_stream_alive{server="flussonic",stream="ch%d"}`, i)] = 0
	}
	if got := b.json(t).Findings[0].Text; got != "5 of 5 streams are down: ch0, ch1, ch2 and 2 more" {
		t.Error(got)
	}
}

func TestDevices(t *testing.T) {
	b := newBench(t)
	b.facts.Probes = []Probe{{Name: "dvb", Absent: []string{"no frontend: /sys/class/dvb has none"}}, {Name: "flussonic", Error: "HTTP 401"}}
	b.facts.Absent = []Absent{{"gpu_amd", SwitchedOff}, {"gpu_intel", "not found on this machine"}}
	want := map[string]string{"GPU": "gpu_amd is switched off in the configuration", "DVB": "no frontend: /sys/class/dvb has none", "media server": "flussonic fails: HTTP 401"}
	for _, m := range b.json(t).Missing {
		if !strings.HasPrefix(m.Reason, want[m.Name]) {
			t.Errorf("%+v", m)
		}
		delete(want, m.Name)
	}
	if len(want) > 0 {
		t.Errorf("not missing: %v", want)
	}
	b.values[`headend_gpu_up{gpu="0",pci="0000:3b:00.0"}`] = 1
	b.values[`flussonic_gpu_enc{gpu="0"}`] = 40
	b.values[`headend_gpu_up{gpu="1",pci="0000:5e:00.0"}`] = 0
	b.values[`headend_dvb_frontend_info{adapter="0",frontend="0",name="CXD2837"}`] = 1
	b.values[`headend_dvb_frontend_in_use{adapter="0",frontend="0"}`] = 1
	b.values[`headend_dvb_frontend_locked{adapter="0",frontend="0"}`] = 0
	b.values[`headend_dvb_frontend_info{adapter="1",frontend="0"}`] = 1
	b.values[`headend_dvb_frontend_in_use{adapter="1",frontend="0"}`] = 0
	b.values[`headend_dvb_frontend_info{adapter="2",frontend="0"}`] = 1 // where kernel threads are hidden
	s := b.json(t)
	got := ""
	for _, d := range s.Devices {
		got += d.State + " " + d.Name + ": " + strings.Join(d.Detail, ", ") + "\n"
	}
	const all = "ok 0 0000:3b:00.0: encoder 40 %\ntrouble 1 0000:5e:00.0: is on the bus and does not answer\ntrouble adapter 0, frontend 0: CXD2837, no lock\nidle adapter 1, frontend 0: nobody uses it\n" +
		"trouble adapter 2, frontend 0: nobody can tell whether it is in use\n"
	if got != all || len(s.Missing) != 1 || s.Health != "trouble" {
		t.Errorf("%s, missing %v:\n%s", s.Health, s.Missing, got)
	}
}

// JSON has the last hour that the page draws; what was not known is null.
func TestHistoryInJSON(t *testing.T) {
	b := newBench(t)
	b.facts.Destinations = []Destination{{Name: "main"}}
	b.values[rw+`samples_pending{destination="main"}`] = 7
	b.values[`flussonic_cpu_usage{}`] = 12.5
	b.history.record(b.latest)
	delete(b.values, `flussonic_cpu_usage{}`)
	b.values[rw+`samples_pending{destination="main"}`] = 1e9
	b.history.record(b.latest)
	text := b.get(t, "/api/v1/status")
	for _, want := range []string{`"history":{"step_seconds":5,"tracks":{"cpu_percent":[12.5,null]}}`, `"samples_pending_history":[7,1e+09]`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if !json.Valid([]byte(text)) {
		t.Error("that is no JSON")
	}
}

// A receiver that answers and takes nothing is trouble, unlike one that refuses some.
func TestRefusing(t *testing.T) {
	b := newBench(t)
	b.facts.Destinations = []Destination{{Name: "main", LastStatus: 400, Said: "out of bounds"}}
	refused, delivered := rw+`samples_refused_total{destination="main"}`, rw+`samples_delivered_total{destination="main"}`
	b.values[delivered] = 5
	for i := range 3 {
		b.ms += 5000
		b.values[refused] = float64(i)
		b.history.record(b.latest)
	}
	if s := b.json(t); s.Destinations[0].State != "refusing" || s.Health != "trouble" || s.Findings[0].Text != "main: the receiver refuses everything, 2 samples so far, with HTTP 400" || s.Findings[0].Fix != "the receiver said: out of bounds" {
		t.Errorf("%s, %+v", s.Destinations[0].State, s.Findings)
	}
	b.ms += 5000
	b.values[delivered], b.values[refused] = 10, 4
	b.history.record(b.latest)
	if s := b.json(t); s.Destinations[0].State != "connected" || s.Health != "warning" {
		t.Errorf("%s, %+v", s.Destinations[0].State, s.Findings)
	}
}

// Lists in JSON are lists, also without anything in them.
func TestJSONWithoutAnything(t *testing.T) {
	b := newBench(t)
	if text := b.get(t, "/api/v1/status"); strings.Contains(text, "null") || !strings.Contains(text, `"devices":[]`) {
		t.Error(text)
	}
}

func TestRingPicture(t *testing.T) {
	now := time.Now()
	r := Ring{Room: 128, Cursors: []Cursor{{"main", 2}, {"second", 3}}}
	for i := range 5 {
		r.Slots = append(r.Slots, Slot{Oldest: now.Add(-time.Hour), Samples: 1000, OnDisk: i < 4})
	}
	cells := r.cells(now)
	var text []string
	for _, c := range cells[:4] {
		text = append(text, c.Class+" "+c.Mark+" "+c.Title)
	}
	if got := strings.Join(text, "\n"); len(cells) != ringCells || got != "disk  2000 samples, from 1 h 0 min ago\ndisk main, second 2000 samples, from 1 h 0 min ago\nmemory  1000 samples, from 1 h 0 min ago\nfree  free" {
		t.Errorf("%d cells:\n%s", len(cells), got)
	}
	if left := r.left(now); left == nil || *left != 3600/5*123 {
		t.Errorf("room for %v", left)
	}
	if left := (Ring{Room: 128, Slots: r.Slots}).left(now); left != nil {
		t.Errorf("nothing waits in it, and it has room for %v", *left)
	}
	if cells := (Ring{}).cells(now); cells != nil {
		t.Errorf("a ring in memory: %v", cells)
	}
}

// History keeps an hour, knows rates from the times of rounds, and forgets what is gone.
func TestHistory(t *testing.T) {
	b := newBench(t)
	b.values[`flussonic_cpu_usage{}`] = 10
	b.values[`flussonic_net_input_bytes{interface="eth0"}`] = 0
	b.values[`flussonic_net_input_bytes{interface="lo"}`] = 0
	b.values[`headend_stream_alive{stream="a"}`] = 1
	b.values[`headend_stream_alive{stream="b"}`] = 1
	h := newHistory()
	h.record(b.latest)
	h.record(b.latest) // the same round
	b.ms += 10_000
	b.values[`flussonic_net_input_bytes{interface="eth0"}`] = 5000
	b.values[`flussonic_net_input_bytes{interface="lo"}`] = 1e9
	h.record(b.latest)
	h.record(b.latest)
	if got := fmt.Sprint(h.last("busiest_interface_in_bytes_per_second", 4), h.last("streams_up", 2)); got != "[NaN NaN 500 500] [2 2]" {
		t.Error(got)
	}
	b.ms += 10_000
	b.values[`flussonic_net_input_bytes{interface="eth0"}`] = 10 // it began anew
	h.record(b.latest)
	delete(b.values, `flussonic_cpu_usage{}`)
	h.record(b.latest)
	if got := fmt.Sprint(h.last("busiest_interface_in_bytes_per_second", 1), h.last("cpu_percent", 2), h.newest("cpu_percent")); got != "[NaN] [10 NaN] <nil>" {
		t.Error(got)
	}
	for range historyLength {
		h.record(b.latest)
	}
	if h.last("cpu_percent", 1) != nil || len(h.counters) != 1 {
		t.Errorf("a track without values is kept, or a counter is forgotten: %d", len(h.counters))
	}
}

// Values from outside are text on the page, whatever is in them, and nothing on it is loaded from elsewhere.
func TestPageIsSafe(t *testing.T) {
	b := newBench(t)
	const evil = `<script>alert(1)</script>`
	b.facts.Host = evil
	b.facts.Destinations = []Destination{{Name: evil, URL: evil, Trouble: evil, Said: evil}}
	b.facts.Probes = []Probe{{Name: "scrape", Target: evil, Error: evil}}
	b.values[`headend_stream_alive{server="x",stream="`+evil+`"}`] = 0
	page := b.get(t, "/")
	if strings.Contains(page, "<script") {
		t.Error("a value is markup")
	}
	if !strings.Contains(page, "&lt;script") {
		t.Error("the value is not there")
	}
	if m := regexp.MustCompile(`(src|href)="(https?:)?//`).FindString(page); m != "" {
		t.Errorf("something is loaded from elsewhere: %s", m)
	}
}

// What is very long does not flood the page.
func TestLongTexts(t *testing.T) {
	b := newBench(t)
	long := strings.Repeat("ü", 10_000)
	b.facts.Destinations = []Destination{{Name: "main", Trouble: long, Said: long}}
	b.facts.Probes = []Probe{{Name: "scrape", Target: long, Error: long}}
	for i := range 2000 {
		b.values[fmt.Sprintf(`headend_stream_alive{server="x",stream="%04d%s"}`, i, long)] = 0
	}
	if n := len(b.get(t, "/")); n > 64<<10 {
		t.Errorf("the page has %d bytes", n)
	}
}

// The title tells a tab's state.
func TestTitle(t *testing.T) {
	b := newBench(t)
	for trouble, want := range map[string]string{"": "<title>✓ edge-1", "no route": "<title>✕ edge-1"} {
		b.facts.Destinations = []Destination{{Name: "main", Trouble: trouble}}
		if !strings.Contains(b.get(t, "/"), want) {
			t.Errorf("no %s", want)
		}
	}
	b.facts.Destinations = nil
	if !strings.Contains(b.get(t, "/"), "<title>! edge-1") {
		t.Error("a warning is no trouble")
	}
}

func TestFormats(t *testing.T) {
	for want, got := range map[string]string{
		"0": group(0), "999": group(999), "1000": group(1000), "12\u2009345": group(12345), "1\u2009234\u2009567": group(1234567),
		"0 s": span(-1), "59 s": span(59), "1 min 0 s": span(60), "2 h 3 min": span(7380), "3 d 1 h": span(3*86400 + 3700),
		"512 B": size(512), "1.5 KiB": size(1536), "64 MiB": size(64 << 20), "999 bit/s": bits(999), "4.1 Mbit/s": bits(4.1e6), "12 Gbit/s": bits(12e9),
		"8 µs": brief(8e-6), "as ours": offset(-1), "2 min 0 s ahead": offset(120), "3 s behind": offset(-3), "1.5 ms": brief(0.0015), "2 s": brief(2),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A hole in the values is a hole in the line.
func TestSpark(t *testing.T) {
	nan := func() float64 { var zero float64; return zero / zero }()
	got := string(spark([]float64{0, 10, nan, 5}, 0))
	if !strings.Contains(got, `class="line" d="M0 23.0L1 1.0M3 12.0"`) {
		t.Error(got)
	}
	if got := string(spark([]float64{1}, 0)); !strings.Contains(got, `class="line" d="M0 1.0L1 1.0"`) {
		t.Errorf("one value: %s", got)
	}
	if got := string(spark(make([]float64, historyLength), 100)); strings.Count(got, "L") > 2*sparkWidth+5 {
		t.Error("too many points")
	}
}
