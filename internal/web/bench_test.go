package web

import (
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"testing"

	"headend-agent/internal/metric"
)

// large is what the probes of a server with 2,000 streams have found.
func large(b *testing.B) Parts {
	table := metric.NewTable()
	r := metric.Round{Source: "flussonic", TimeMs: 1}
	for _, name := range []string{"headend_stream_alive", "headend_stream_bitrate_bits_per_second", "headend_stream_viewers", "headend_stream_ts_delay_seconds",
		"flussonic_stream_bytes_in", "flussonic_stream_bytes_out", "flussonic_stream_bitrate", "flussonic_stream_retry_count", "flussonic_stream_client_count", "flussonic_stream_dvr_info_depth"} {
		d := &metric.Desc{Name: name}
		for i := range 2000 {
			r.Series = append(r.Series, table.Intern(metric.LabelsOf(name, "server", "flussonic", "stream", fmt.Sprint("channel-", i)), d))
			r.Values = append(r.Values, 1)
		}
	}
	return Parts{Latest: func(yield func(metric.Round)) { yield(r) }, Facts: func() Facts { return Facts{} }}
}

// One step of the history.
func BenchmarkRecord(b *testing.B) {
	p, h := large(b), newHistory()
	b.ReportAllocs()
	for b.Loop() {
		h.record(p.Latest)
	}
}

// One view of the page.
func BenchmarkPage(b *testing.B) {
	s, err := Listen("127.0.0.1:0", "", large(b), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		b.Fatal(err)
	}
	defer s.listener.Close()
	s.history.record(s.parts.Latest)
	b.ReportAllocs()
	for b.Loop() {
		s.mux().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}
}
