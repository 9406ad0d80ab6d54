package stream

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.yaml.in/yaml/v3"

	"headend-agent/internal/metric"
	"headend-agent/probe"
	"headend-agent/probe/probetest"
)

// fromYAML decodes strictly, as the daemon does.
func fromYAML(text string) func(any) error {
	return func(to any) error {
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		return d.Decode(to)
	}
}

func build(t testing.TB, kind, text string) (probe.Probe, error) {
	for _, k := range Kinds() {
		if k.Name == kind {
			decode := probetest.NoConfig
			if text != "" {
				decode = fromYAML(text)
			}
			return k.New(decode, probetest.Env(t, "testdata"))
		}
	}
	t.Fatalf("no kind %q", kind)
	return nil, nil
}

// serverAt makes the probe of a configured server.
func serverAt(t testing.TB, kind, url, more string) *server {
	t.Helper()
	p, err := build(t, kind, "url: "+url+"\n"+more)
	if err != nil {
		t.Fatal(err)
	}
	return p.(*server)
}

func flussonicAt(t testing.TB, url, more string) *server {
	t.Helper()
	return serverAt(t, "flussonic", url, more)
}

// direct calls a handler without a network, as tests on a clock of their own must.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func flussonicOver(t testing.TB, f http.Handler, more string) *server {
	t.Helper()
	s := flussonicAt(t, "http://flussonic", more)
	s.client.http.Transport = direct{f}
	return s
}

// readings runs p once and returns its samples by series, up among them.
func readings(t testing.TB, p probe.Probe) (map[string]float64, error) {
	t.Helper()
	s := metric.NewSet(metric.NewTable(), 100_000)
	err := p.Collect(t.Context(), s)
	got := map[string]float64{}
	s.End(metric.Round{}, func(r metric.Round) {
		for i, ref := range r.Series {
			got[ref.Labels.String()] = r.Values[i]
		}
	})
	if over, repeats := s.Counts(); over+repeats > 0 {
		t.Errorf("%d samples over the limit, %d repeated", over, repeats)
	}
	return got, err
}

func TestFlussonicGenerations(t *testing.T) {
	for _, f := range []*fakeFlussonic{
		{generation: "21", streams: streams21(), server: object{"version": "21.01", "hostname": "h", "total_clients": 9, "total_streams": 3, "online_streams": 2,
			"input_kbit": 10, "output_kbit": 20.5, "cpu_usage": nil, "scheduler_load": 7, "partitions": []any{object{"path": "/", "total_mb": 10, "usage": 50}}}},
		{generation: "23", streams: streams23(), server: server23()},
		{generation: "25", streams: streams25(), server: server25(), cards: []object{
			{"name": "a16", "hw": "dvb", "adapter": 1, "frontend": 0, "stats": object{"strength": 70, "snr": nil, "ber": 3, "has_lock": true}},
			{"name": "off", "disabled": true, "stats": object{"strength": 1}},
			{"name": "idle", "stats": nil},
		}},
	} {
		t.Run(f.generation, func(t *testing.T) {
			got, err := probetest.Collect(flussonicOver(t, f, ""))
			if err != nil {
				t.Fatal(err)
			}
			probetest.Golden(t, filepath.Join("testdata", "flussonic", f.generation+".txt"), got)
		})
	}
}

// Every reading of the vendor's table, from each of the places where a version may keep it.
func TestFlussonicFallbacks(t *testing.T) {
	for _, c := range []struct {
		family, stream string
		want           float64
	}{
		{"client_delay", `"stats":{"client_delay":1500}`, 1500},
		{"client_delay", `"stats":{"ts_delay":1500}`, -1},
		{"bytes_in", `"stats":{"bytes_in":1,"input":{"bytes":2}},"inputs":[{"stats":{"bytes":3}}]`, 1},
		{"bytes_in", `"stats":{"bytes_in":null,"input":{"bytes":2}},"inputs":[{"stats":{"bytes":3}}]`, 2},
		{"bytes_in", `"stats":{"input":null},"inputs":[{"stats":{"bytes":3}},{"stats":{"bytes":4.5}},{"stats":null},null]`, 7.5},
		{"bytes_in", `"stats":{}`, -1},
		{"bytes_out", `"stats":{"bytes_out":1,"play":{"play_bytes":2}}`, 1},
		{"bytes_out", `"stats":{"play":{"play_bytes":2}}`, 2},
		{"bitrate", `"stats":{"bitrate":1,"input_bitrate":2}`, 1},
		{"bitrate", `"stats":{"bitrate":null,"input_bitrate":2}`, 2},
		{"bitrate", `"stats":{"bitrate":0}`, 0},
		{"start_running_at", `"stats":{"start_running_at":1757000000123}`, 1757000000123},
		{"retry_count", `"stats":{"retry_count":1,"input":{"retries":2}}`, 1},
		{"retry_count", `"stats":{"input":{"retries":2}}`, 2},
		{"client_count", `"stats":{"client_count":1,"play":{"play_opened_sessions":2},"online_clients":3}`, 1},
		{"client_count", `"stats":{"play":{"play_opened_sessions":2},"online_clients":3}`, 2},
		{"client_count", `"stats":{"online_clients":3}`, 3},
		{"dvr_info_disk_size", `"stats":{"dvr_info":{"disk_size":1,"bytes":2}}`, 1},
		{"dvr_info_disk_size", `"stats":{"dvr_info":{"bytes":2}}`, -1},
		{"dvr_info_depth", `"stats":{"dvr_info":{"depth":1}}`, 1},
		{"dvr_info_duration", `"stats":{"dvr_info":{"duration":1}}`, 1},
		{"dvr_info_depth", `"stats":{"dvr_info":null}`, -1},
		{"bytes_in", `"stats":"none"`, -1},
		{"bytes_in", `"stats":[]`, -1},
		{"bytes_in", `"stats":{"bytes_in":"12"}`, -1},
	} {
		f := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"streams":[{%s,"name":"x"}]}`, c.stream)
		})
		got, err := readings(t, flussonicOver(t, f, ""))
		if err != nil {
			t.Errorf("%s: %v", c.stream, err)
		}
		v, ok := got[`flussonic_stream_`+c.family+`{stream="x"}`]
		if !ok {
			v = -1
		}
		if v != c.want {
			t.Errorf("%s from %s: %v, want %v", c.family, c.stream, v, c.want)
		}
	}
}

func TestFlussonicArchiveBytesOnRequest(t *testing.T) {
	f := &fakeFlussonic{generation: "25", streams: streams25(), server: server25()}
	got, err := readings(t, flussonicOver(t, f, "dvr_bytes_as_disk_size: true\nname: edge"))
	if err != nil || got[`flussonic_stream_dvr_info_disk_size{server="edge",stream="hockey1"}`] != 129600000000 {
		t.Errorf("%v, %v", err, got)
	}
	if got[`headend_stream_up{server="edge"}`] != 1 || got[`headend_stream_alive{server="edge",stream="hockey1"}`] != 1 {
		t.Errorf("the name is not in the label server: %v", got)
	}
}

func TestFlussonicBackupSource(t *testing.T) {
	for _, c := range []struct {
		stream string
		want   float64
	}{
		{`"inputs":[{"url":"a"}],"stats":{"url":"a"}`, -1},
		{`"inputs":[{"url":"a"},{"url":"b"}],"stats":{"url":"a"}`, 0},
		{`"inputs":[{"url":"a"},{"url":"b"}],"stats":{"url":"b"}`, 1},
		{`"inputs":[{"url":"a"},{"url":"b"}],"stats":{"input":{"url":"b"}}`, 1},
		{`"inputs":[{"url":"a"},{"url":"b"}],"stats":{"url":"c"}`, -1},
		{`"inputs":[{"url":"a"},{"url":"b"}]`, -1},
		{`"inputs":[{"url":"a","priority":2},{"url":"b","priority":1}],"stats":{"url":"a"}`, 1},
		{`"inputs":[{"url":"a","priority":2},{"url":"b","priority":1}],"stats":{"url":"b"}`, 0},
		{`"inputs":[{"url":"a","stats":{"active":false}},{"url":"b","stats":{"active":true}}],"stats":{"url":"a"}`, 1},
		{`"inputs":[{"url":"a"},{"url":"b"}],"stats":{"inputs":[{"active":true},{"active":false}]}`, 0},
		{`"stats":{"inputs":[{"active":false},{"active":true}]}`, 1},
	} {
		f := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"streams":[{"name":"x",%s}]}`, c.stream)
		})
		got, err := readings(t, flussonicOver(t, f, ""))
		v, ok := got[`headend_stream_backup_source{server="flussonic",stream="x"}`]
		if !ok {
			v = -1
		}
		if v != c.want || err != nil {
			t.Errorf("%s: %v (%v), want %v", c.stream, v, err, c.want)
		}
	}
}

func many(n int) []object {
	var all []object
	for i := range n {
		all = append(all, object{"name": fmt.Sprintf("s%05d", i), "stats": object{"alive": true, "bytes_in": i}})
	}
	return all
}

func count(got map[string]float64, family string) (n int) {
	for s := range got {
		if strings.HasPrefix(s, family+"{") {
			n++
		}
	}
	return n
}

func TestFlussonicPages(t *testing.T) {
	for _, limit := range []int{0, 100, 7} {
		f := &fakeFlussonic{generation: "23", streams: many(1300), server: server23(), pageLimit: limit}
		got, err := readings(t, flussonicOver(t, f, ""))
		if n := count(got, "flussonic_stream_bytes_in"); n != 1300 || err != nil {
			t.Errorf("pages of %d: %d streams, %v", limit, n, err)
		}
	}
}

// Streams that come and go between two pages: all that stay arrive, each once.
func TestFlussonicChurnBetweenPages(t *testing.T) {
	f := &fakeFlussonic{generation: "23", streams: many(400), server: server23(), pageLimit: 50}
	pages := 0
	f.between = func(f *fakeFlussonic) {
		pages++
		f.streams = slices.DeleteFunc(f.streams, func(o object) bool { return o["name"] == fmt.Sprintf("s%05d", 40*pages) })
		f.streams = append(f.streams, object{"name": fmt.Sprintf("s%05d-new", 30*pages), "stats": object{"alive": true, "bytes_in": 1}})
	}
	got, err := readings(t, flussonicOver(t, f, ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range f.streams {
		name := o["name"].(string)
		if _, ok := got[`flussonic_stream_bytes_in{stream="`+name+`"}`]; !ok && !strings.Contains(name, "new") {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestFlussonicPagesThatNeverEnd(t *testing.T) {
	n := 0
	f := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/streams") {
			n++
			fmt.Fprintf(w, `{"streams":[{"name":"s%d","stats":{"alive":true}},{"name":"same","stats":{"alive":true}}],"next":"c%d"}`, n, n)
			return
		}
		w.WriteHeader(404)
	})
	got, err := readings(t, flussonicOver(t, f, ""))
	if err == nil || !strings.Contains(err.Error(), "more than 200 pages") || n > maxPages+1 {
		t.Errorf("%d pages: %v", n, err)
	}
	if c := count(got, "headend_stream_alive"); c != maxPages+1 || got[`headend_stream_up{server="flussonic"}`] != 1 {
		t.Errorf("%d streams, want what the pages had, each once", c)
	}
	n = 0
	f2 := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		fmt.Fprint(w, `{"streams":[{"name":"a"}],"next":"again"}`)
	})
	if _, err := readings(t, flussonicOver(t, f2, "")); err != nil || n > 6 {
		t.Errorf("a cursor that repeats: %d requests, %v", n, err)
	}
}

func TestFlussonicFindsItsAPI(t *testing.T) {
	up := func(t *testing.T, s *server) {
		t.Helper()
		if got, err := readings(t, s); err != nil || got[`headend_stream_up{server="flussonic"}`] != 1 || count(got, "headend_stream_alive") == 0 {
			t.Errorf("%v: %v", err, got)
		}
	}
	t.Run("second path", func(t *testing.T) {
		up(t, flussonicOver(t, &fakeFlussonic{generation: "23", prefix: "/flussonic", streams: streams23(), server: server23()}, ""))
	})
	t.Run("somebody else at the first path", func(t *testing.T) {
		old := &fakeFlussonic{generation: "21", streams: streams21(), server: object{"version": "21.01"}}
		up(t, flussonicOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/streamer/") {
				fmt.Fprint(w, `{"result":"ok"}`)
				return
			}
			old.ServeHTTP(w, r)
		}), ""))
	})
	t.Run("path in the URL", func(t *testing.T) {
		s := flussonicAt(t, "http://flussonic/edge/api/v3/", "")
		s.client.http.Transport = direct{&fakeFlussonic{generation: "25", prefix: "/edge", streams: streams25(), server: server25()}}
		up(t, s)
	})
	t.Run("no select", func(t *testing.T) {
		f := &fakeFlussonic{generation: "23", streams: streams23(), server: server23(), noSelect: true}
		s := flussonicOver(t, f, "")
		up(t, s)
		f.asked = nil
		up(t, s)
		if joined := strings.Join(f.asked, " "); strings.Contains(joined, "select") {
			t.Errorf("select was asked again: %s", joined)
		}
	})
	t.Run("upgrade seen as a failure", func(t *testing.T) {
		f := &fakeFlussonic{generation: "21", streams: streams21(), server: object{"version": "21.01"}}
		s := flussonicOver(t, f, "")
		up(t, s)
		*f = fakeFlussonic{generation: "25", streams: streams25(), server: server25()}
		if _, err := readings(t, s); err == nil {
			t.Error("the old API still answers")
		}
		up(t, s)
	})
	t.Run("upgrade that keeps the old API", func(t *testing.T) {
		old := &fakeFlussonic{generation: "21", streams: streams21(), server: object{"version": "21.01"}}
		newer := &fakeFlussonic{generation: "23", streams: streams23(), server: server23()}
		hasV3 := false
		s := flussonicOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if hasV3 && strings.HasPrefix(r.URL.Path, "/streamer/") {
				newer.ServeHTTP(w, r)
				return
			}
			old.ServeHTTP(w, r)
		}), "")
		up(t, s)
		hasV3 = true
		old.server["version"] = "23.01"
		up(t, s)
		up(t, s)
		if s.api.(*flussonic).old {
			t.Error("the old API is still in use")
		}
	})
	t.Run("hourly", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeFlussonic{generation: "23", streams: streams23(), server: server23()}
			s := flussonicOver(t, f, "")
			up(t, s)
			f.cards = []object{{"name": "late", "stats": object{"strength": 50}}}
			time.Sleep(59 * time.Minute)
			if got, _ := readings(t, s); count(got, "headend_server_dvb_strength_ratio") != 0 {
				t.Error("a list that was not there is asked for in every run")
			}
			time.Sleep(2 * time.Minute)
			if got, _ := readings(t, s); count(got, "headend_server_dvb_strength_ratio") != 1 {
				t.Error("a list that was not there is never asked for again")
			}
		})
	})
}

func TestFlussonicLogin(t *testing.T) {
	f := &fakeFlussonic{generation: "25", streams: streams25(), server: server25(), user: "monitor", pass: "s3cret"}
	for config, ok := range map[string]bool{
		"basic_auth: {username: monitor, password: s3cret}":                                                   true,
		"authorization: {credentials: '" + base64.StdEncoding.EncodeToString([]byte("monitor:s3cret")) + "'}": true,
		"basic_auth: {username: monitor, password: wrong}":                                                    false,
		"": false,
	} {
		// The transport below the login is the network's, so this one needs a server.
		s := httptest.NewServer(f)
		got, err := readings(t, flussonicAt(t, s.URL, config))
		s.Close()
		up := got[`headend_stream_up{server="flussonic"}`]
		if ok && (err != nil || up != 1) {
			t.Errorf("%s: %v", config, err)
		}
		if !ok && (up != 0 || len(got) != 1 || err == nil || !strings.Contains(err.Error(), "user name or password is missing or wrong") || strings.Contains(err.Error(), "wrong}")) {
			t.Errorf("%s: %v, %v", config, err, got)
		}
	}
}

func TestFlussonicFailures(t *testing.T) {
	whole := &fakeFlussonic{generation: "23", streams: many(50), server: server23()}
	rec := httptest.NewRecorder()
	whole.ServeHTTP(rec, httptest.NewRequest("GET", "/streamer/api/v3/streams", nil))
	page := rec.Body.Bytes()
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
	}
	for _, c := range []struct {
		name, err string
		handler   http.HandlerFunc
	}{
		{"401", "password is missing or wrong", status(401)},
		{"403", "is not let in", status(403)},
		{"404", "HTTP status 404", status(404)},
		{"500", "HTTP status 500", status(500)},
		{"503", "HTTP status 503", status(503)},
		{"html", "answers HTML, not JSON", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "\n <!DOCTYPE html><html>router</html>") }},
		{"other json", "no list of streams", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"result":"ok"}`) }},
		{"not json", "JSON has 'h'", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `hello`) }},
		{"empty", "ends in the middle", func(w http.ResponseWriter, r *http.Request) {}},
		{"truncated", "ends in the middle", func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.RawQuery, "limit=1&") {
				fmt.Fprint(w, `{"streams":[]}`)
				return
			}
			w.Write(page[:len(page)/2])
		}},
		{"connection cut", "unexpected EOF", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100000")
			w.Write(page)
			panic(http.ErrAbortHandler)
		}},
		{"endless", "exceeds", func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte(`{"x":[`))
			for block := bytes.Repeat([]byte("1,"), 1<<15); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}},
		{"redirects in a circle", "stopped after 10 redirects", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, 302) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(c.handler)
			defer s.Close()
			p := flussonicAt(t, s.URL, "")
			got, err := readings(t, p)
			var partial *probe.Partial
			if !errors.As(err, &partial) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error is %v, want one with %q", err, c.err)
			}
			if up, ok := got[`headend_stream_up{server="flussonic"}`]; !ok || up != 0 || len(got) != 1 {
				t.Errorf("a run that failed left %v", got)
			}
			if _, again := readings(t, p); err != nil && again != nil && again.Error() != err.Error() {
				t.Errorf("the second failure is told otherwise: %v; %v", err, again)
			}
		})
	}
}

// stuck never answers a request for a path with this end.
type stuck struct {
	path string
	next http.RoundTripper
}

func (x stuck) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, x.path) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return x.next.RoundTrip(r)
}

// A server that is slow costs what it is slow to tell, and that is reported before the deadline: after it, nobody listens.
func TestFlussonicSlow(t *testing.T) {
	for path, streams := range map[string]int{"/streams": 0, "/config/stats": 2} {
		synctest.Test(t, func(t *testing.T) {
			s := flussonicOver(t, &fakeFlussonic{generation: "25", streams: streams25(), server: server25()}, "")
			s.client.http.Transport = stuck{path, s.client.http.Transport}
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			out := metric.NewSet(metric.NewTable(), 1000)
			err := s.Collect(ctx, out)
			alive := 0
			out.End(metric.Round{}, func(r metric.Round) {
				for _, ref := range r.Series {
					if ref.Labels.Name() == "headend_stream_alive" {
						alive++
					}
				}
			})
			if !errors.Is(err, context.DeadlineExceeded) || alive != streams || ctx.Err() != nil {
				t.Errorf("%s: %d streams, %v; the run itself: %v", path, alive, err, ctx.Err())
			}
		})
	}
}

func TestFlussonicRedirects(t *testing.T) {
	f := &fakeFlussonic{generation: "25", streams: streams25(), server: server25(), user: "u", pass: "p"}
	behind := httptest.NewServer(f)
	defer behind.Close()
	leaked := ""
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { leaked += r.Header.Get("Authorization") }))
	defer elsewhere.Close()
	const login = "basic_auth: {username: u, password: p}"
	same := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path, ok := strings.CutPrefix(r.URL.Path, "/old"); ok {
			http.Redirect(w, r, path+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
			return
		}
		f.ServeHTTP(w, r)
	}))
	defer same.Close()
	if got, err := readings(t, flussonicAt(t, same.URL+"/old", login)); err != nil || count(got, "headend_stream_alive") == 0 {
		t.Errorf("a redirect on the same host: %v", err)
	}
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
	}))
	defer away.Close()
	if _, err := readings(t, flussonicAt(t, away.URL, login)); err == nil || leaked != "" {
		t.Errorf("a redirect to another host: %v, and it got %q", err, leaked)
	}
}

func TestFlussonicStreamNames(t *testing.T) {
	long := strings.Repeat("é", 5000)
	names := []string{`quo"te`, `back\slash`, "sl/a/sh", "emoji 🏒", "new\nline", "\u0000", long + "a", long + "b", "пример"}
	var streams []object
	for _, n := range names {
		streams = append(streams, object{"name": n, "stats": object{"alive": true}})
	}
	f := &fakeFlussonic{generation: "23", streams: streams, server: server23(), pageLimit: 2}
	out := metric.NewSet(metric.NewTable(), 1000)
	if err := flussonicOver(t, f, "").Collect(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	var got []string
	out.End(metric.Round{}, func(r metric.Round) {
		for _, ref := range r.Series {
			if ref.Labels.Name() == "headend_stream_alive" {
				got = append(got, ref.Labels.Get("stream"))
			}
		}
	})
	cut := 0
	for _, g := range got {
		if !slices.Contains(names, g) {
			cut++
			if len(g) > nameLimit || !strings.HasPrefix(long, g[:400]) {
				t.Errorf("cut to %d bytes: %.50q", len(g), g)
			}
		}
	}
	if len(got) != len(names) || cut != 2 || len(slices.Compact(slices.Sorted(slices.Values(got)))) != len(names) {
		t.Errorf("%d of %d names, %d of them cut: %.600q", len(got), len(names), cut, got)
	}
}

// What is no UTF-8 is replaced; what is too long to be a label anywhere is cut.
func TestFlussonicHostileTexts(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	f := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/streams"):
			fmt.Fprintf(w, `{"streams":[{"name":"a%sb","stats":{"alive":true}},{"name":"%s","stats":{"alive":true,"status":"%s"}},{"name":"","stats":{"alive":true}},{"name":null},{"name":7}]}`,
				"\xff", long, long)
		case strings.HasSuffix(r.URL.Path, "/config/stats"):
			fmt.Fprintf(w, `{"server_version":"%s","build":"%s","partitions":[{"path":"%s","device":"%s","usage":50}]}`, long, long, long, long)
		default:
			w.WriteHeader(404)
		}
	})
	s := flussonicOver(t, f, "")
	got, err := readings(t, s)
	if err != nil || count(got, "headend_stream_alive") != 2 || got["headend_stream_alive{server=\"flussonic\",stream=\"a\uFFFDb\"}"] != 1 {
		t.Errorf("%v, %.300v", err, got)
	}
	for series := range got {
		if len(series) > 3*nameLimit {
			t.Errorf("a series of %d bytes: %.100s", len(series), series)
		}
	}
	for key := range s.names.known {
		if len(key) > nameLimit {
			t.Errorf("a name of %d bytes is kept", len(key))
		}
	}
}

func TestFlussonicServerFiguresMayBeMissing(t *testing.T) {
	f := &fakeFlussonic{generation: "23", streams: streams23(), server: server23()}
	s := flussonicOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/config/stats") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		f.ServeHTTP(w, r)
	}), "")
	got, err := readings(t, s)
	if err == nil || !strings.Contains(err.Error(), "/config/stats: HTTP status 403") {
		t.Errorf("error is %v", err)
	}
	if got[`headend_stream_up{server="flussonic"}`] != 1 || count(got, "headend_stream_alive") != 2 {
		t.Errorf("the streams went with it: %v", got)
	}
}

// Streams that come and go for ever leave memory where it was.
func TestNamesAreForgotten(t *testing.T) {
	var n names
	for run := range 300 {
		n.begin()
		for i := range 1000 {
			if n.take(fmt.Appendf(nil, "s%d-%d", run, i)) == nil || n.take(fmt.Appendf(nil, "s%d-%d", run, i)) != nil {
				t.Fatal("a stream is not taken exactly once a run")
			}
			n.status(fmt.Appendf(nil, "status%d%d", run, i))
		}
	}
	if len(n.known) > 4000 || len(n.statuses) > statusesLimit {
		t.Errorf("%d names and %d statuses are remembered", len(n.known), len(n.statuses))
	}
	if got := n.status([]byte("<script>")); got != "other" {
		t.Errorf("a status became %q", got)
	}
}

func TestUnconfiguredServerIsLookedForQuietly(t *testing.T) {
	for _, kind := range []string{"flussonic", "mediamtx", "srs", "tvheadend", "nginx_rtmp"} {
		synctest.Test(t, func(t *testing.T) {
			p, err := build(t, kind, "")
			if err != nil {
				t.Fatal(err)
			}
			asked := 0
			p.(*server).client.http.Transport = direct{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				w.WriteHeader(404)
			})}
			for range 13 { // two minutes
				if got, err := readings(t, p); err != nil || len(got) != 0 {
					t.Errorf("%s: %v, %v", kind, err, got)
				}
				time.Sleep(10 * time.Second)
			}
			if asked == 0 || asked > 3*12 {
				t.Errorf("%s: %d requests in two minutes", kind, asked)
			}
		})
	}
}

func TestFoundServerIsReportedWhenItGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := build(t, "flussonic", "")
		if err != nil {
			t.Fatal(err)
		}
		f := &fakeFlussonic{generation: "25", streams: streams25(), server: server25()}
		there := false
		p.(*server).client.http.Transport = direct{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !there || r.URL.Port() != "8080" {
				w.WriteHeader(502)
				return
			}
			f.ServeHTTP(w, r)
		})}
		readings(t, p)
		there = true
		time.Sleep(lookAgain)
		if got, err := readings(t, p); err != nil || got[`headend_stream_up{server="flussonic"}`] != 1 || p.(*server).Target() != "http://127.0.0.1:8080" {
			t.Errorf("it came, and: %v, %v", err, got)
		}
		there = false
		if got, err := readings(t, p); err == nil || got[`headend_stream_up{server="flussonic"}`] != 0 || len(got) != 1 {
			t.Errorf("it went, and: %v, %v", err, got)
		}
	})
}

func TestBadConfig(t *testing.T) {
	for _, c := range []struct{ kind, text, err string }{
		{"flussonic", "url: 127.0.0.1", "is not http"},
		{"flussonic", "url: http://u:p@h/", "without user and query"},
		{"flussonic", "url: http://u:p@h:x/", "invalid port"},
		{"flussonic", "url: http://h/?a=b", "without user and query"},
		{"flussonic", "url: http://h/\nbogus: 1", "bogus"},
		{"mediamtx", "url: http://h/\nbasic_auth: {username: a}\nbearer_token: b", "at most one of"},
		{"tvheadend", "url: http://h/\nbasic_auth: {username: a, password: b, password_file: c}", "at most one of"},
		{"server_process", "name: x", "process or pid_file is missing"},
		{"server_process", "process: x\npid_file: y", "exclude each other"},
	} {
		if _, err := build(t, c.kind, c.text); err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "p@") {
			t.Errorf("%s %q: %v, want %q", c.kind, c.text, err, c.err)
		}
	}
}
