package stream

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// object is JSON that a test writes down.
type object = map[string]any

// fakeFlussonic answers as a server of one of three generations: "21" has the API before v3, "23" and "25" have v3.
type fakeFlussonic struct {
	generation string
	prefix     string   // of v3: /streamer unless set
	streams    []object // as v3 or the old API has them, by generation
	server     object   // config/stats, or the old API's server
	cards      []object // nil: no dvb_cards
	user, pass string   // "": anybody
	noSelect   bool     // a select is refused
	pageLimit  int      // the server gives fewer than asked; 0: as asked
	between    func(f *fakeFlussonic)
	asked      []string
}

func (f *fakeFlussonic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.asked = append(f.asked, r.URL.RequestURI())
	if !f.letIn(r) {
		f.refuse(w, http.StatusUnauthorized)
		return
	}
	if f.generation == "21" {
		switch r.URL.Path {
		case "/flussonic/api/server":
			answer(w, f.server)
		case "/flussonic/api/media":
			answer(w, f.streams)
		default:
			http.Error(w, "<html>not found</html>", http.StatusNotFound)
		}
		return
	}
	prefix := f.prefix
	if prefix == "" {
		prefix = "/streamer"
	}
	path, ok := strings.CutPrefix(r.URL.Path, prefix+"/api/v3")
	switch {
	case ok && path == "/streams":
		f.list(w, r)
	case ok && path == "/config/stats":
		answer(w, f.server)
	case ok && path == "/dvb_cards" && f.cards != nil:
		answer(w, object{"dvb_cards": f.cards, "next": nil})
	default:
		f.refuse(w, http.StatusNotFound)
	}
}

func (f *fakeFlussonic) letIn(r *http.Request) bool {
	if f.user == "" {
		return true
	}
	user, pass, ok := r.BasicAuth()
	bearer := r.Header.Get("Authorization") == "Bearer "+base64.StdEncoding.EncodeToString([]byte(f.user+":"+f.pass))
	return ok && user == f.user && pass == f.pass || bearer
}

func (f *fakeFlussonic) refuse(w http.ResponseWriter, code int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"errors":[{"status":"%d","code":"x","title":"y"}]}`, code)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// list pages as the real one does: 100 rows unless asked for more; the cursor holds a place by name or, without sort=name, by
// position.
func (f *fakeFlussonic) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if f.noSelect && q.Has("select") {
		f.refuse(w, http.StatusBadRequest)
		return
	}
	byName := q.Get("sort") == "name"
	rows := slices.Clone(f.streams)
	if byName {
		slices.SortFunc(rows, func(a, b object) int { return strings.Compare(a["name"].(string), b["name"].(string)) })
	}
	if c := q.Get("cursor"); c != "" {
		raw, err := base64.StdEncoding.DecodeString(c)
		if err != nil {
			f.refuse(w, http.StatusBadRequest)
			return
		}
		place, _ := url.ParseQuery(string(raw))
		if after := place.Get("name_gt"); byName {
			rows = slices.DeleteFunc(rows, func(o object) bool { return o["name"].(string) <= after })
		} else {
			n, _ := strconv.Atoi(place.Get("$position_gt"))
			rows = rows[min(n, len(rows)):]
		}
	}
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit <= 0 {
		limit = 100
	}
	if f.pageLimit > 0 {
		limit = min(limit, f.pageLimit)
	}
	page := object{"estimated_count": len(f.streams), "timing": object{"load": 1.5}}
	if len(rows) > limit {
		rows = rows[:limit]
		page["next"] = base64.StdEncoding.EncodeToString([]byte("name_gt=" + url.QueryEscape(rows[limit-1]["name"].(string))))
	}
	list := []object{}
	for _, row := range rows {
		list = append(list, selected(row, q.Get("select")))
	}
	page["streams"] = list
	answer(w, page)
	if f.between != nil {
		f.between(f)
	}
}

// selected leaves what select names: dotted names, which do not reach into arrays.
func selected(row object, names string) object {
	if names == "" {
		return row
	}
	out := object{}
	for _, name := range strings.Split(names, ",") {
		from, to := row, out
		parts := strings.Split(name, ".")
		for _, p := range parts[:len(parts)-1] {
			inner, ok := from[p].(object)
			if !ok {
				from = nil
				break
			}
			if to[p] == nil {
				to[p] = object{}
			}
			from, to = inner, to[p].(object)
		}
		last := parts[len(parts)-1]
		if v, ok := from[last]; ok {
			to[last] = v
		}
	}
	return out
}

func TestFakeSelects(t *testing.T) {
	row := object{"name": "a", "title": "x", "stats": object{"alive": true, "media_info": object{}}}
	want := object{"name": "a", "stats": object{"alive": true}}
	if got := selected(row, "name,stats.alive,stats.nothing"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// merged returns a copy of base with more over it.
func merged(base, more object) object {
	out := maps.Clone(base)
	maps.Copy(out, more)
	return out
}

func server23() object {
	return object{
		"server_version": "23.01", "build": 27, "now": 1757000071974, "started_at": 1756000000, "uptime": 1000071, "streamer_status": "running",
		"total_clients": 2040, "total_streams": 45, "online_streams": 27, "opened_files": 5, "input_kbit": 400300, "output_kbit": 500400,
		"cpu_usage": 48, "memory_usage": 27, "scheduler_load": 40, "text_alerts": object{"a": "b"},
		"partitions": []any{object{"path": "/storage", "total_mb": 45423, "usage": 30}, nil},
	}
}

func server25() object {
	return merged(server23(), object{
		"server_version": "25.11", "started_at": 1756000000.0,
		"partitions":         []any{object{"path": "/storage", "total_mb": 45423, "usage": 30, "device": "sda1", "io_util": 42}},
		"transcoder_devices": []any{object{"type": "nvenc", "id": 0, "name": "Tesla T4", "uuid": "u", "gpu_enc": 61, "gpu_dec": 12, "gpu_temp": 71, "gpu_sm": nil}},
	})
}

func streams23() []object {
	return []object{
		{"name": "hockey1", "title": "Hockey", "static": true, "named_by": "config", "position": 1,
			"inputs": []any{
				object{"url": "udp://239.0.0.1:1234", "priority": 1, "stats": object{"active": false, "bytes": 100}},
				object{"url": "udp://239.0.0.2:1234", "priority": 2, "stats": object{"active": true, "bytes": 23}},
			},
			"pushes": []any{
				object{"url": "rtmp://a/b", "stats": object{"status": "running", "retries": 1, "bytes": 1000}},
				object{"url": "rtmp://c/d", "stats": object{"status": "error", "retries": 7, "bytes": nil, "last_error": "x"}},
				object{"url": "rtmp://e/f", "stats": nil},
			},
			"stats": object{
				"alive": true, "status": "running", "bitrate": 3690, "input_bitrate": 3700, "bytes_in": 2445568, "bytes_out": 91822, "client_count": 3,
				"retry_count": 0, "start_running_at": 1757000000123, "opened_at": 1756999999002, "lifetime": 71977, "ts_delay": 12,
				"last_dts_at": 1757000071974, "input_error_rate": 0.5, "transcoder_overloaded": false, "dvr_enabled": true, "url": "udp://239.0.0.2:1234",
				"dvr_info":   object{"from": 1756740800, "depth": 259200, "duration": 172800, "bytes": 129600000000, "disk_size": 1099511627776},
				"media_info": object{"tracks": []any{object{"track_id": "v1"}}},
			}},
		{"name": "archive/only", "static": true, "stats": nil},
		{"name": "waiting", "static": false, "stats": object{"alive": false, "status": "waiting", "bitrate": nil, "client_count": 0, "ts_delay": 15000.5}},
		{"name": "off", "disabled": true, "stats": object{"alive": false}},
	}
}

func streams25() []object {
	return []object{
		{"name": "hockey1", "inputs": []any{object{"url": "udp://a"}, object{"url": "udp://b"}}, "stats": object{
			"alive": true, "status": "running", "bitrate": 3690, "bytes_out": 91822, "online_clients": 4, "start_running_at": 1757000000123, "ts_delay": 12,
			"input": object{"bytes": 2445568, "retries": 2, "errors": 5, "error_rate": 0.25, "errors_lost_packets": 3, "url": "udp://a"},
			"play":  object{"play_bytes": 91000, "play_opened_sessions": 3}, "transcoder_overloaded": true,
			"dvr_info": object{"from": 1756740800, "depth": 259200, "bytes": 129600000000},
			"dvr_write": object{"segments_written_fast": 100, "segments_written_slow": 3, "segments_written_delayed": 2, "segments_written_collapsed": 1,
				"segments_failed": 4, "segments_skipped": 6},
		}},
		{"name": "inputs-by-stats", "stats": object{"alive": true, "inputs": []any{object{"active": false}, object{"active": true}}}},
	}
}

func streams21() []object {
	return []object{
		{"entry": "file", "value": object{"name": "vod"}},
		{"entry": "stream", "value": object{"name": "hockey1", "urls": []any{object{"value": "udp://239.0.0.1:1234"}}, "options": object{"title": "Hockey", "static": true},
			"stats": object{"alive": true, "bitrate": 3690, "bytes_in": 5, "client_count": 3, "retry_count": 2, "input_error_rate": 0.0,
				"dvr_enabled": false, "running_transcoder": false, "lifetime": 71977.123, "media_info": object{}}}},
		{"value": object{"name": "entry comes last", "stats": object{"alive": true}}, "entry": "stream"},
		{"entry": "stream", "value": object{"name": "off", "options": object{"disabled": true}}},
		{"entry": "stream", "value": nil},
	}
}
