package web

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"headend-agent/internal/metric"
)

// An hour of what the page draws.
const (
	historyStep   = 5 * time.Second
	historyLength = 720
	historyMinute = int(time.Minute / historyStep)
)

// Track is a number over time, the oldest first; NaN, in JSON null, where there was none.
type Track []float64

// MarshalJSON writes the digits that the track has: those of a float32.
func (t Track) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, v := range t {
		if i > 0 {
			b = append(b, ',')
		}
		if math.IsNaN(v) {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendFloat(b, v, 'g', -1, 32)
		}
	}
	return append(b, ']'), nil
}

// rule says how samples of a family become a track.
type rule struct {
	track string
	label string // the track is one of several, by this label
	rate  bool   // of a counter
	sum   bool   // of the series; otherwise the greatest
}

var rules = map[string]rule{
	"flussonic_cpu_usage":        {track: "cpu_percent"},
	"flussonic_memory_usage":     {track: "memory_percent"},
	"flussonic_disk_io_usage":    {track: "busiest_disk_percent"},
	"flussonic_net_input_bytes":  {track: "busiest_interface_in_bytes_per_second", rate: true},
	"flussonic_net_output_bytes": {track: "busiest_interface_out_bytes_per_second", rate: true},
	"flussonic_gpu_enc":          {track: "busiest_gpu_encoder_percent"},
	"headend_server_viewers":     {track: "clients", sum: true},
	"headend_stream_alive":       {track: "streams_up", sum: true},

	"headend_agent_remote_write_samples_pending":         {track: "pending", label: "destination"},
	"headend_agent_remote_write_samples_delivered_total": {track: "delivered", label: "destination", rate: true},
	"headend_agent_remote_write_bytes_total":             {track: "bytes", label: "destination", rate: true},
	"headend_agent_remote_write_samples_refused_total":   {track: "lost", label: "destination", sum: true},
	"headend_agent_remote_write_samples_uncertain_total": {track: "lost", label: "destination", sum: true},
	"headend_agent_remote_write_samples_dropped_total":   {track: "lost", label: "destination", sum: true},
}

// history keeps the last hour of a few numbers. Its methods may be called from any goroutine.
type history struct {
	mu       sync.Mutex
	next     int // place of the next value in every track
	count    int // of values that were recorded, up to historyLength
	tracks   map[string]*track
	counters map[metric.Ref]*counter
	now      map[string]float64
}

type track struct {
	values [historyLength]float32 // NaN where there was none
	empty  int                    // how many of the newest are NaN
}

// counter remembers a counter's last sample.
type counter struct {
	value, rate float64
	ms          int64
	seen        bool
}

func newHistory() *history {
	return &history{tracks: map[string]*track{}, counters: map[metric.Ref]*counter{}, now: map[string]float64{}}
}

// run records until ctx ends.
func (h *history) run(ctx context.Context, latest func(func(metric.Round))) {
	tick := time.NewTicker(historyStep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.record(latest)
		}
	}
}

func (h *history) record(latest func(func(metric.Round))) {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.now)
	latest(h.add)
	for ref, c := range h.counters {
		if !c.seen {
			delete(h.counters, ref)
		}
		c.seen = false
	}
	for name := range h.now {
		if h.tracks[name] == nil {
			t := &track{}
			for i := range t.values {
				t.values[i] = float32(math.NaN())
			}
			h.tracks[name] = t
		}
	}
	for name, t := range h.tracks {
		v, ok := h.now[name]
		t.empty++
		if ok {
			t.empty = 0
		} else {
			v = math.NaN()
		}
		t.values[h.next] = float32(v)
		if t.empty == historyLength {
			delete(h.tracks, name)
		}
	}
	h.next, h.count = (h.next+1)%historyLength, min(h.count+1, historyLength)
}

func (h *history) add(round metric.Round) {
	for i, s := range round.Series {
		r, wanted := rules[s.Desc().Name]
		v := round.Values[i]
		if !wanted || math.IsNaN(v) || math.IsInf(v, 0) || s.Labels.Get("interface") == "lo" {
			continue
		}
		if r.rate {
			v = h.rate(s, v, round.TimeMs)
			if math.IsNaN(v) {
				continue
			}
		}
		name := r.track
		if r.label != "" {
			name += " " + s.Labels.Get(r.label)
		}
		before, ok := h.now[name]
		switch {
		case r.sum:
			v += before
		case ok:
			v = max(v, before)
		}
		h.now[name] = v
	}
}

// rate returns a counter's increase a second; NaN where it is not known.
func (h *history) rate(s metric.Ref, v float64, ms int64) float64 {
	c := h.counters[s]
	if c == nil {
		c = &counter{value: v, ms: ms, rate: math.NaN()}
		h.counters[s] = c
	}
	c.seen = true
	if ms > c.ms {
		c.rate = math.NaN()
		if v >= c.value {
			c.rate = (v - c.value) / float64(ms-c.ms) * 1000
		}
		c.value, c.ms = v, ms
	}
	return c.rate
}

// last returns the newest n values of a track, or as many as there can be, oldest first; nil where there is none.
func (h *history) last(name string, n int) Track {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.tracks[name]
	if t == nil {
		return nil
	}
	n = min(n, h.count)
	all := make(Track, n)
	for i := range all {
		all[i] = float64(t.values[(h.next-n+i+historyLength)%historyLength])
	}
	return all
}

// newest returns the newest value of a track, nil where there is none.
func (h *history) newest(name string) *float64 {
	if v := h.last(name, 1); v != nil && !math.IsNaN(v[0]) {
		return &v[0]
	}
	return nil
}
