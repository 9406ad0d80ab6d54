package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// object is JSON that a test writes down.
type object = map[string]any

// fakeFlussonic answers as the third version of the server's API, for a user and a password where they are set.
type fakeFlussonic struct {
	*httptest.Server
	started time.Time

	mu         sync.Mutex
	user, pass string
	down       map[string]bool // streams without input
	onDemand   map[string]bool // streams that run only while somebody watches
	streams    []string
}

func startFlussonic(t testing.TB, streams ...string) *fakeFlussonic {
	t.Helper()
	f := &fakeFlussonic{started: time.Now(), streams: streams, down: map[string]bool{}, onDemand: map[string]bool{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// password is wanted from now on.
func (f *fakeFlussonic) password(user, pass string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.user, f.pass = user, pass
}

// stop takes the input from a stream.
func (f *fakeFlussonic) stop(stream string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down[stream] = true
}

// idle makes a stream one that runs on demand, and that nobody watches.
func (f *fakeFlussonic) idle(stream string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down[stream], f.onDemand[stream] = true, true
}

func (f *fakeFlussonic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if user, pass, _ := r.BasicAuth(); f.user != "" && (user != f.user || pass != f.pass) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"errors":[{"status":"401","code":"unauthorized","title":"unauthorized"}]}`)
		return
	}
	seconds := int(time.Since(f.started).Seconds())
	switch {
	case r.URL.Path == "/flussonic/api/metrics":
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, f.vendorText(seconds))
	case strings.HasSuffix(r.URL.Path, "/streams") && strings.Contains(r.Header.Get("Accept"), "application/openmetrics-text"):
		limit := 100
		fmt.Sscan(r.URL.Query().Get("limit"), &limit)
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0")
		fmt.Fprint(w, f.openMetrics(limit, seconds))
	case strings.HasSuffix(r.URL.Path, "/streams"):
		list := []object{}
		for i, name := range f.streams {
			list = append(list, f.stream(i, name, seconds))
		}
		json.NewEncoder(w).Encode(object{"streams": list, "next": nil, "estimated_count": len(list)})
	case strings.HasSuffix(r.URL.Path, "/config/stats"):
		json.NewEncoder(w).Encode(object{
			"server_version": "25.11", "build": "1", "started_at": f.started.Add(-time.Hour).Unix(), "total_clients": 12 * len(f.streams), "total_streams": len(f.streams),
			"online_streams": len(f.streams) - len(f.down), "opened_files": 3, "input_kbit": 4000 * len(f.streams), "output_kbit": 48000 * len(f.streams),
			"cpu_usage": 20, "memory_usage": 30, "scheduler_load": 35, "streamer_status": "running",
		})
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"status":"404","code":"not_found","title":"not found"}]}`)
	}
}

func (f *fakeFlussonic) stream(i int, name string, seconds int) object {
	alive, status, bitrate, clients := true, "running", 3000+100*i, 12
	if f.down[name] {
		alive, status, bitrate, clients = false, "waiting", 0, 0
	}
	const day = 86400
	if f.down[name] {
		seconds = 1 // no byte more than before
	}
	return object{"name": name, "static": !f.onDemand[name], "inputs": []object{{"url": "udp://239.0.0.1:1234"}, {"url": "udp://239.0.1.1:1234"}}, "stats": object{
		"alive": alive, "status": status, "ts_delay": 120, "bitrate": bitrate, "input_bitrate": bitrate, "bytes_in": 400000 * seconds, "bytes_out": 4800000 * seconds,
		"client_count": clients, "retry_count": 0, "start_running_at": f.started.Add(-time.Hour).UnixMilli(), "transcoder_overloaded": false,
		"url": "udp://239.0.0.1:1234", "input": object{"bytes": 400000 * seconds, "errors": 0, "errors_lost_packets": 0, "retries": 0, "url": "udp://239.0.0.1:1234"},
		"inputs":    []object{{"url": "udp://239.0.0.1:1234", "stats": object{"active": true}}, {"url": "udp://239.0.1.1:1234", "stats": object{"active": false}}},
		"dvr_info":  object{"disk_size": 1 << 40, "depth": 7 * day, "duration": 7*day - 30},
		"dvr_write": object{"segments_written_fast": seconds, "segments_written_slow": 0, "segments_failed": 0},
	}}
}

// vendorText is the server's own exposition, of the names that its guide lists.
func (f *fakeFlussonic) vendorText(seconds int) string {
	var b strings.Builder
	for _, name := range []string{"boot_time_seconds", "memory_usage", "clients", "streams", "opened_files", "scheduler_load", "cpu_usage"} {
		fmt.Fprintf(&b, "# TYPE flussonic_%s gauge\nflussonic_%s 7\n", name, name)
	}
	fmt.Fprint(&b, "# TYPE flussonic_version_info gauge\nflussonic_version_info{version=\"25.11\"} 1\n",
		"flussonic_disk_size{path=\"/\"} 7\nflussonic_disk_usage{path=\"/\"} 7\nflussonic_disk_io_usage{device=\"sda\"} 7\n",
		"flussonic_net_input_bytes{interface=\"eth7\"} 7\nflussonic_net_output_bytes{interface=\"eth7\"} 7\nflussonic_dvb_card_strength{name=\"a\"} 7\n",
		"flussonic_gpu_dec{gpu=\"0\"} 7\nflussonic_gpu_enc{gpu=\"0\"} 7\nflussonic_gpu_temp{gpu=\"0\"} 7\n")
	for _, name := range []string{"client_delay", "bytes_in", "bytes_out", "bitrate", "start_running_at", "retry_count", "client_count", "dvr_info_disk_size", "dvr_info_depth", "dvr_info_duration"} {
		fmt.Fprintf(&b, "# TYPE flussonic_stream_%s gauge\n", name)
		for _, s := range f.streams {
			fmt.Fprintf(&b, "flussonic_stream_%s{stream=%q} %d\n", name, s, seconds)
		}
	}
	return b.String()
}

// openMetrics is how newer versions write their stream list on request: names without the prefix.
func (f *fakeFlussonic) openMetrics(limit, seconds int) string {
	var b strings.Builder
	b.WriteString("# TYPE stream_bitrate gauge\n")
	for i, s := range f.streams {
		if i < limit {
			fmt.Fprintf(&b, "stream_bitrate{name=%q,server_id=\"x\"} 3000\n", s)
		}
	}
	b.WriteString("# TYPE stream_input_bytes counter\n")
	for i, s := range f.streams {
		if i < limit {
			fmt.Fprintf(&b, "stream_input_bytes_total{name=%q,server_id=\"x\"} %d\n", s, seconds)
		}
	}
	b.WriteString("# EOF\n")
	return b.String()
}
