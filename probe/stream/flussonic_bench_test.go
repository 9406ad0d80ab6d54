package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"headend-agent/internal/metric"
)

// canned answers from memory, so that only the probe's own work is measured.
type canned map[string][]byte

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	for prefix, body := range c {
		if strings.HasPrefix(r.URL.RequestURI(), prefix) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
		}
	}
	return &http.Response{StatusCode: 404, Body: http.NoBody, Request: r}, nil
}

func manyStreams(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"estimated_count":2000,"streams":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"s%d","stats":{"alive":true,"bandwidth_out":48000000,"bitrate":4500000.5,"bytes_in":3125000%d,"bytes_out":99999%d,"client_count":7,`+
			`"frames_in":1000,"input_errors":0,"lost_packets":1,"retry_count":3,"running":1,"start_running_at":1790000000000,"ts_delay":12}}`, i, i, i)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// BenchmarkFlussonic2000 is one run over 2,000 streams. W3 does 12 of them a minute.
func BenchmarkFlussonic2000(b *testing.B) {
	list := manyStreams(2000)
	p := flussonicAt(b, "http://canned", "")
	p.client.http.Transport = canned{"/streamer/api/v3/streams": list, "/streamer/api/v3/config/stats": []byte(`{"server_version":"25.09","cpu_usage":3}`)}
	out := metric.NewSet(metric.NewTable(), 50_000)
	b.ReportAllocs()
	b.SetBytes(int64(len(list)))
	for b.Loop() {
		out.Reset()
		if err := p.Collect(context.Background(), out); err != nil {
			b.Fatal(err)
		}
		out.End(metric.Round{Source: "bench"}, func(r metric.Round) {})
	}
	b.ReportMetric(float64(out.Len()), "samples/run")
}

// BenchmarkEncodingJSON2000 is what encoding/json needs to decode the same list, and nothing else.
func BenchmarkEncodingJSON2000(b *testing.B) {
	list := manyStreams(2000)
	b.ReportAllocs()
	b.SetBytes(int64(len(list)))
	for b.Loop() {
		var answer struct {
			Next    *string
			Streams []struct {
				Name  string
				Stats struct {
					Alive                                                   *bool
					Bitrate, BytesIn, BytesOut, ClientCount, RetryCount, TS *float64
				}
			}
		}
		if err := json.Unmarshal(list, &answer); err != nil {
			b.Fatal(err)
		}
	}
}
