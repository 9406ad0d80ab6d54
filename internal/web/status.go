package web

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Status is what the page shows, and /api/v1/status as JSON. Numbers are those of the last rounds, as in /metrics; what is not known is
// left out.
type Status struct {
	Facts
	Now      time.Time     `json:"now"`
	Health   string        `json:"health"` // ok, warning or trouble
	Findings []Finding     `json:"findings"`
	Agent    Agent         `json:"agent"`
	Servers  []MediaServer `json:"media_servers"`
	Streams  []Stream      `json:"streams"` // the worst first
	Devices  []Device      `json:"devices"`
	Missing  []Absent      `json:"missing"` // kinds of devices of which there is none
	History  History       `json:"history"`
}

// History is the last hour of a few numbers.
type History struct {
	Step   Seconds          `json:"step_seconds"`
	Tracks map[string]Track `json:"tracks"`
}

// Finding is something that wants attention.
type Finding struct {
	Level string `json:"level"` // warning or trouble
	Text  string `json:"text"`
	Fix   string `json:"remedy,omitempty"`
}

// Agent is the cost of the agent.
type Agent struct {
	CPUSeconds *float64 `json:"cpu_seconds,omitempty"`
	Memory     *float64 `json:"resident_memory_bytes,omitempty"`
	Series     *float64 `json:"series,omitempty"`
}

// MediaServer is one that a probe reads.
type MediaServer struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind,omitempty"`
	Version string   `json:"version,omitempty"`
	Up      bool     `json:"up"`
	Streams *float64 `json:"streams,omitempty"`
	Online  *float64 `json:"online,omitempty"`
	Clients *float64 `json:"clients,omitempty"`
}

// Stream is one of a media server's.
type Stream struct {
	Server  string   `json:"server"`
	Name    string   `json:"name"`
	State   string   `json:"state"` // up, down, on demand; the server's own word in Status
	Status  string   `json:"status,omitempty"`
	Bitrate *float64 `json:"bits_per_second,omitempty"`
	Clients *float64 `json:"clients,omitempty"`
	Archive *float64 `json:"archive_seconds,omitempty"`
}

// Device is a GPU or a tuner.
type Device struct {
	Kind   string   `json:"kind"`
	Name   string   `json:"name"`
	State  string   `json:"state"` // ok, warning, trouble or idle
	Detail []string `json:"detail,omitempty"`
	fix    string   // of trouble
}

var statusNames = []string{
	"headend_agent_cpu_seconds_total", "headend_agent_resident_memory_bytes", "headend_agent_series",
	"headend_agent_probe_duration_seconds", "headend_agent_probe_series",
	"headend_agent_buffer_slots", "headend_agent_buffer_memory_bytes", "headend_agent_buffer_memory_limit_bytes",
	"headend_agent_remote_write_samples_pending", "headend_agent_remote_write_oldest_pending_seconds",
	"headend_agent_remote_write_samples_delivered_total", "headend_agent_remote_write_samples_refused_total",
	"headend_agent_remote_write_samples_uncertain_total", "headend_agent_remote_write_samples_dropped_total",
	"headend_agent_remote_write_bytes_total", "headend_agent_remote_write_clock_offset_seconds",
	"headend_stream_up", "headend_server_info", "headend_server_streams", "headend_server_online_streams", "headend_server_viewers",
	"flussonic_streams", "flussonic_clients", "flussonic_stream_client_count", "flussonic_stream_dvr_info_depth",
	"headend_stream_alive", "headend_stream_status", "headend_stream_on_demand", "headend_stream_bitrate_bits_per_second", "headend_stream_viewers",
	"headend_gpu_up", "headend_gpu_info", "flussonic_gpu_enc", "flussonic_gpu_dec", "flussonic_gpu_temp",
	"headend_dvb_frontend_info", "headend_dvb_frontend_in_use", "headend_dvb_frontend_locked", "headend_dvb_frontend_up",
	"headend_dvb_frontend_cnr_decibels", "headend_dvb_frontend_signal_strength_dbm", "flussonic_dvb_card_strength",
}

func (p Parts) status(h *history) *Status {
	r := read(p.Latest, statusNames...)
	s := &Status{Facts: p.Facts(), Now: time.Now(), History: History{Seconds(historyStep.Seconds()), map[string]Track{}}}
	s.Agent = Agent{r.one("headend_agent_cpu_seconds_total"), r.one("headend_agent_resident_memory_bytes"), r.one("headend_agent_series")}
	for i := range s.Probes {
		q := &s.Probes[i]
		which := []string{"probe", q.Name, "target", q.Target}
		q.Duration, q.Series = r.one("headend_agent_probe_duration_seconds", which...), r.one("headend_agent_probe_series", which...)
	}
	s.Ring.Used, s.Ring.Left = r.one("headend_agent_buffer_slots"), s.Ring.left(s.Now)
	s.Ring.Memory, s.Ring.MemoryLimit = r.one("headend_agent_buffer_memory_bytes"), r.one("headend_agent_buffer_memory_limit_bytes")
	for i := range s.Destinations {
		s.Destinations[i].fill(r, h)
	}
	s.Servers, s.Streams, s.Devices = servers(r), streams(r), slices.Concat(gpus(r), frontends(r))
	s.Missing = s.missing()
	for _, g := range gauges {
		if values := h.last(g.track, historyLength); values != nil {
			s.History.Tracks[g.track] = values
		}
	}
	s.judge(h)
	s.Probes, s.Facts.Absent, s.Destinations = list(s.Probes), list(s.Facts.Absent), list(s.Destinations)
	s.Findings, s.Servers, s.Devices, s.Missing = list(s.Findings), list(s.Servers), list(s.Devices), list(s.Missing)
	return s
}

// list makes JSON say [] where there is nothing, instead of null.
func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

// late is the age of samples, beyond a flush, from which on they are a backlog.
const late = 15 // seconds

func (d *Destination) fill(r readings, h *history) {
	const prefix = "headend_agent_remote_write_"
	of := func(name string) *float64 { return r.one(prefix+name, "destination", d.Name) }
	d.Pending, d.Oldest = of("samples_pending"), of("oldest_pending_seconds")
	d.Delivered, d.Refused, d.Uncertain = of("samples_delivered_total"), of("samples_refused_total"), of("samples_uncertain_total")
	d.Bytes, d.Clock = of("bytes_total"), of("clock_offset_seconds")
	d.Dropped = r.by("reason", prefix+"samples_dropped_total", "destination", d.Name)
	d.Rate, d.History = h.newest("delivered "+d.Name), h.last("pending "+d.Name, historyLength)
	if b := h.newest("bytes " + d.Name); b != nil {
		bits := *b * 8
		d.BitRate = &bits
	}
	backlog := d.Oldest != nil && *d.Oldest > float64(d.Flush)+late
	switch {
	case d.Trouble != "":
		d.State = "failing"
	case d.refuses(h):
		d.State = "refusing"
	case backlog:
		d.State = "draining"
	case d.Delivered == nil || *d.Delivered == 0:
		d.State = "starting"
	default:
		d.State = "connected"
	}
	if backlog {
		d.drain()
	}
}

// refuses tells whether of all that was answered within the last minute nothing was taken.
func (d *Destination) refuses(h *history) bool {
	taken := slices.ContainsFunc(h.last("delivered "+d.Name, historyMinute), func(rate float64) bool { return rate > 0 })
	return d.LastStatus/100 == 4 && !taken && increase(h.last("lost "+d.Name, historyMinute)) > 0
}

// drain tells how far a backlog has been drained, and how long the rest will take at the pace of the last minute.
func (d *Destination) drain() {
	pending := slices.DeleteFunc(slices.Clone(d.History), math.IsNaN)
	if len(pending) == 0 || d.Pending == nil {
		return
	}
	peak := max(slices.Max(pending), *d.Pending)
	done := 0.0
	if peak > 0 {
		done = 1 - *d.Pending/peak
	}
	d.Peak, d.Drained = &peak, &done
	minute := pending[max(0, len(pending)-historyMinute):]
	top := slices.Index(minute, slices.Max(minute)) // the drain may have begun only then
	if pace := (minute[top] - minute[len(minute)-1]) / (float64(len(minute)-1-top) * historyStep.Seconds()); pace > 0 && d.Trouble == "" {
		left := *d.Pending / pace
		d.DrainTime = &left
	}
}

// left is how many seconds of samples the ring has room for beside what is in it.
func (r Ring) left(now time.Time) *float64 {
	n := len(r.Slots)
	if n < 2 || n > r.Room || len(r.Cursors) == 0 {
		return nil
	}
	left := now.Sub(r.Slots[0].Oldest).Seconds() / float64(n) * float64(r.Room-n)
	return &left
}

func servers(r readings) []MediaServer {
	var all []MediaServer
	for name, up := range r.by("server", "headend_stream_up") {
		s := MediaServer{Name: name, Up: up == 1}
		for _, x := range r["headend_server_info"] {
			if x.labels.Get("server") == name {
				s.Kind, s.Version = x.labels.Get("kind"), x.labels.Get("version")
			}
		}
		vendor := []string{"server", name}
		if s.Kind == "flussonic" && r.one("flussonic_streams", vendor...) == nil {
			vendor[1] = "" // a lone server's vendor metrics bear no name
		}
		s.Streams = either(r.one("headend_server_streams", "server", name), r.one("flussonic_streams", vendor...))
		s.Clients = either(r.one("headend_server_viewers", "server", name), r.one("flussonic_clients", vendor...))
		s.Online = r.one("headend_server_online_streams", "server", name)
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b MediaServer) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func either(a, b *float64) *float64 {
	if a != nil {
		return a
	}
	return b
}

// streamKey names a stream in families that all have both labels.
type streamKey struct{ server, stream string }

func streams(r readings) []Stream {
	index := func(name string) map[streamKey]*float64 {
		all := make(map[streamKey]*float64, len(r[name]))
		for i := range r[name] {
			x := &r[name][i]
			all[streamKey{x.labels.Get("server"), x.labels.Get("stream")}] = &x.value
		}
		return all
	}
	onDemand, bitrate := index("headend_stream_on_demand"), index("headend_stream_bitrate_bits_per_second")
	viewers, clients, depth := index("headend_stream_viewers"), index("flussonic_stream_client_count"), index("flussonic_stream_dvr_info_depth")
	status := map[streamKey]string{}
	for _, x := range r["headend_stream_status"] {
		status[streamKey{x.labels.Get("server"), x.labels.Get("stream")}] = x.labels.Get("status")
	}
	all := make([]Stream, 0, len(r["headend_stream_alive"]))
	for _, x := range r["headend_stream_alive"] {
		k := streamKey{x.labels.Get("server"), x.labels.Get("stream")}
		lone := streamKey{"", k.stream} // in the vendor's families
		s := Stream{Server: k.server, Name: k.stream, State: "up", Status: status[k], Bitrate: bitrate[k],
			Clients: either(viewers[k], either(clients[k], clients[lone])), Archive: either(depth[k], depth[lone])}
		if x.value != 1 {
			s.State = "down"
			if on := onDemand[k]; on != nil && *on == 1 {
				s.State = "on demand"
			}
		}
		all = append(all, s)
	}
	rank := map[string]int{"down": 0, "up": 1, "on demand": 2}
	slices.SortFunc(all, func(a, b Stream) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), cmp.Compare(a.Server, b.Server), cmp.Compare(a.Name, b.Name))
	})
	return all
}
