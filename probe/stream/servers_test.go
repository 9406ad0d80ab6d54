package stream

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/probe/probetest"
)

// files answers paths from a folder of testdata.
func files(t testing.TB, dir string, paths map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := paths[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		b, err := os.ReadFile(filepath.Join("testdata", dir, name))
		if err != nil {
			t.Error(err)
		}
		w.Write(b)
	})
}

var recorded = map[string]map[string]string{
	"mediamtx":   {"/v3/paths/list": "paths.json", "/v3/info": "info.json"},
	"srs":        {"/api/v1/streams/": "streams.json", "/api/v1/summaries": "summaries.json"},
	"tvheadend":  {"/api/serverinfo": "serverinfo.json", "/api/status/inputs": "inputs.json", "/api/status/subscriptions": "subscriptions.json"},
	"nginx_rtmp": {"/stat": "stat.xml"},
}

func over(t testing.TB, kind string, h http.Handler) *server {
	t.Helper()
	s := serverAt(t, kind, "http://server", "")
	s.client.http.Transport = direct{h}
	return s
}

func TestOtherServers(t *testing.T) {
	for kind, paths := range recorded {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // its clock begins at 2000-01-01, whatever a start is reckoned from
				got, err := probetest.Collect(over(t, kind, files(t, kind, paths)))
				if err != nil {
					t.Fatal(err)
				}
				probetest.Golden(t, filepath.Join("testdata", kind, "golden.txt"), got)
			})
		})
	}
}

func TestOtherServersFail(t *testing.T) {
	html := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "<!doctype html><html><body>hello</body></html>")
	}
	for kind := range recorded {
		for _, c := range []struct {
			name, err string
			handler   http.HandlerFunc
		}{
			{"html", "answers HTML", html},
			{"401", "password is missing or wrong", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) }},
			{"502", "HTTP status 502", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(502) }},
			{"nothing", "", func(w http.ResponseWriter, r *http.Request) {}},
			{"empty object", "", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{}`) }},
			{"cut", "", func(w http.ResponseWriter, r *http.Request) {
				rec := httptest.NewRecorder()
				files(t, kind, recorded[kind]).ServeHTTP(rec, r)
				w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
			}},
		} {
			got, err := readings(t, over(t, kind, c.handler))
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s, %s: error is %v, want one with %q", kind, c.name, err, c.err)
			}
			if up, ok := got[`headend_stream_up{server="`+kind+`"}`]; !ok || up != 0 || len(got) != 1 {
				t.Errorf("%s, %s: left %v", kind, c.name, got)
			}
		}
	}
}

// A page that never ends is cut, and said to be too long. The JSON of the others is cut as Flussonic's is.
func TestEndlessPage(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "<rtmp>")
		for block := bytes.Repeat([]byte("<a>1</a>"), 1<<12); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	got, err := readings(t, serverAt(t, "nginx_rtmp", s.URL, ""))
	if err == nil || !strings.Contains(err.Error(), "answer exceeds") || len(got) != 1 {
		t.Errorf("%v, %v", err, got)
	}
}

func TestSRSCodeIsAnError(t *testing.T) {
	_, err := readings(t, over(t, "srs", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"code":2047,"streams":[]}`) })))
	if err == nil || !strings.Contains(err.Error(), "answer has code 2047") {
		t.Errorf("error is %v", err)
	}
}

func TestMediaMTXPagesAndBitrate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		received := 1000
		s := over(t, "mediamtx", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v3/paths/list" {
				fmt.Fprintf(w, `{"pageCount":3,"items":[{"name":"p%s","inboundBytes":%d,"readers":[]},{"name":"same","readers":[]}]}`, r.URL.Query().Get("page"), received)
				return
			}
			w.WriteHeader(404)
		}))
		const series = `headend_stream_bitrate_bits_per_second{server="mediamtx",stream="p2"}`
		got, err := readings(t, s)
		if _, early := got[series]; early || err != nil || count(got, "headend_stream_viewers") != 4 {
			t.Errorf("first run: %v, %v", err, got)
		}
		time.Sleep(10 * time.Second)
		received += 1250
		if got, _ = readings(t, s); got[series] != 1000 {
			t.Errorf("1,250 bytes in 10 s are %v bit/s", got[series])
		}
		time.Sleep(10 * time.Second)
		received = 5
		if got, _ = readings(t, s); count(got, "headend_stream_bitrate_bits_per_second") != 0 {
			t.Errorf("after a restart of the counter: %v", got)
		}
	})
}

func TestSRSPages(t *testing.T) {
	s := over(t, "srs", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/streams/" {
			fmt.Fprint(w, `{"code":0,"data":{"self":{"srs_uptime":50}}}`)
			return
		}
		var from, n int
		fmt.Sscan(r.URL.Query().Get("start"), &from)
		fmt.Sscan(r.URL.Query().Get("count"), &n)
		fmt.Fprint(w, `{"code":0,"streams":[`)
		for i := from; i < min(from+n, 2500); i++ {
			if i > from {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, `{"url":"/live/%d","publish":{"active":true}}`, i)
		}
		fmt.Fprint(w, "]}")
	}))
	if got, err := readings(t, s); err != nil || count(got, "headend_stream_alive") != 2500 {
		t.Errorf("%d streams, %v", count(got, "headend_stream_alive"), err)
	}
}

// A start that is reckoned from an age must not move with the rounding of either.
func TestStartDoesNotJitter(t *testing.T) {
	var s stableTime
	base := time.UnixMilli(1_757_000_000_000)
	first := s.since(some(100), base)
	for i := range 50 {
		now := base.Add(time.Duration(i) * 5013 * time.Millisecond)
		if got := s.since(some(float64(100+i*5)), now); got != first {
			t.Fatalf("after %d runs the start is %v, was %v", i, got.v, first.v)
		}
	}
	if got := s.since(some(3), base.Add(time.Hour)); got.v <= first.v {
		t.Errorf("after a restart it is %v", got.v)
	}
}

func TestNginxRTMPAutoNeedsTheModule(t *testing.T) {
	dir := t.TempDir()
	env := probetest.Env(t, dir)
	if nginxRTMPInstalled(env) || flussonicInstalled(env) {
		t.Error("found on an empty machine")
	}
	for _, d := range []string{"root/etc/nginx/modules-enabled", "root/etc/flussonic"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "root/etc/nginx/modules-enabled/50-mod-rtmp.conf"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if !nginxRTMPInstalled(env) || !flussonicInstalled(env) {
		t.Error("not found where they are installed")
	}
}
