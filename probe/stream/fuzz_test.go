package stream

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"

	"headend-agent/internal/metric"
)

// everywhere answers every question with the same text.
type everywhere []byte

func (b everywhere) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.Write(b) }

// Whatever a server answers, a run ends, says so in its labels' terms, and can be followed by another.
func FuzzServers(f *testing.F) {
	kinds := []string{"flussonic", "mediamtx", "srs", "tvheadend", "nginx_rtmp"}
	for dir, paths := range recorded {
		for _, name := range paths {
			b, err := os.ReadFile(filepath.Join("testdata", dir, name))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	for _, seed := range []string{
		`{"streams":[{"name":"a","inputs":[{"url":"x","stats":{"bytes":1,"active":true}},null],"pushes":[{"stats":{"status":"running"}}],` +
			`"stats":{"alive":true,"status":"s","input":{"url":"x","bytes":1e3},"dvr_write":{"segments_failed":1}}}],"next":"n"}`,
		`[{"entry":"stream","value":{"name":"a","options":{"disabled":null},"stats":{"bitrate":1}}}]`,
		`{"server_version":25.1,"partitions":[{"path":"/","total_mb":1}],"transcoder_devices":[{"id":0,"gpu_enc":1}],"dvb_cards":[{"name":"a","stats":{"ber":1}}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, kind := range kinds {
			s := serverAt(t, kind, "http://server", "")
			s.client.http.Transport = direct{everywhere(text)}
			if kind == "flussonic" { // the old API as well
				s.api.(*flussonic).base, s.api.(*flussonic).old = flussonicOldBase, len(text)%2 == 0
				s.api.(*flussonic).askAt = time.Now().Add(time.Hour)
			}
			for range 2 {
				out := metric.NewSet(metric.NewTable(), 1000)
				err := s.Collect(t.Context(), out)
				out.End(metric.Round{}, func(r metric.Round) {
					if err != nil && r.Values[0] == 0 && len(r.Series) != 1 {
						t.Errorf("%s: a run that failed left %d samples", kind, len(r.Series))
					}
					for _, ref := range r.Series {
						for n, v := range ref.Labels.All() {
							if !utf8.ValidString(v) || n == "stream" && len(v) > nameLimit+2 {
								t.Errorf("%s: label %s=%q", kind, n, v)
							}
						}
					}
				})
			}
		}
	})
}
