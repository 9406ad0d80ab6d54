// Package receiver takes remote write, 1.0 and 2.0, and counts what arrives. It is what `demo` pushes to.
package receiver

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// Receiver is an http.Handler. The zero value is ready for use.
type Receiver struct {
	mu     sync.Mutex
	totals Totals
	series map[string]Last
}

// Totals are what has arrived.
type Totals struct {
	Requests, Samples int
	Bytes             int // of bodies, compressed
	Series            int
	Protocol          string // of the last request: 1.0 or 2.0
}

// Last is the newest sample of a series.
type Last struct {
	TimeMs int64
	Value  float64
}

const maxBody = 32 << 20

// ServeHTTP takes one request.
func (rc *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	packed, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if n, err := snappy.DecodedLen(packed); err != nil || n > maxBody {
		http.Error(w, "the body is not a snappy block of acceptable size", http.StatusBadRequest)
		return
	}
	body, err := snappy.Decode(nil, packed)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	samples := 0
	if v2 := strings.Contains(r.Header.Get("Content-Type"), "write.v2.Request"); v2 {
		samples, err = rc.takeV2(body, len(packed))
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(samples))
	} else {
		err = rc.takeV1(body, len(packed))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (rc *Receiver) takeV1(body []byte, size int) error {
	var req prompb.WriteRequest
	if err := req.Unmarshal(body); err != nil {
		return err
	}
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.request(size, "1.0")
	var key strings.Builder
	for _, ts := range req.Timeseries {
		key.Reset()
		for _, l := range ts.Labels {
			addLabel(&key, l.Name, l.Value)
		}
		for _, s := range ts.Samples {
			rc.sample(key.String(), s.Timestamp, s.Value)
		}
	}
	return nil
}

func (rc *Receiver) takeV2(body []byte, size int) (samples int, err error) {
	var req writev2.Request
	if err := req.Unmarshal(body); err != nil {
		return 0, err
	}
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.request(size, "2.0")
	var key strings.Builder
	for _, ts := range req.Timeseries {
		key.Reset()
		for i := 0; i+1 < len(ts.LabelsRefs); i += 2 {
			name, value := ts.LabelsRefs[i], ts.LabelsRefs[i+1]
			if int(max(name, value)) >= len(req.Symbols) {
				return samples, fmt.Errorf("symbol %d of %d", max(name, value), len(req.Symbols))
			}
			addLabel(&key, req.Symbols[name], req.Symbols[value])
		}
		for _, s := range ts.Samples {
			rc.sample(key.String(), s.Timestamp, s.Value)
			samples++
		}
	}
	return samples, nil
}

// addLabel writes a label so that the whole reads like PromQL without braces.
func addLabel(b *strings.Builder, name, value string) {
	if b.Len() > 0 {
		b.WriteByte(',')
	}
	b.WriteString(name)
	b.WriteByte('=')
	b.WriteString(strconv.Quote(value))
}

func (rc *Receiver) request(size int, protocol string) {
	rc.totals.Requests++
	rc.totals.Bytes += size
	rc.totals.Protocol = protocol
}

func (rc *Receiver) sample(series string, ms int64, v float64) {
	if rc.series == nil {
		rc.series = map[string]Last{}
	}
	rc.series[series] = Last{ms, v}
	rc.totals.Samples++
}

// Totals returns what has arrived so far.
func (rc *Receiver) Totals() Totals {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	t := rc.totals
	t.Series = len(rc.series)
	return t
}

// Find returns the newest sample of each series whose labels, written name="value",..., hold every one of the parts.
func (rc *Receiver) Find(parts ...string) map[string]Last {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	found := map[string]Last{}
series:
	for key, last := range rc.series {
		for _, p := range parts {
			if !strings.Contains(key, p) {
				continue series
			}
		}
		found[key] = last
	}
	return found
}

// Wait returns when cond holds of the totals, or reports false after a while.
func (rc *Receiver) Wait(atMost time.Duration, cond func(Totals) bool) bool {
	for end := time.Now().Add(atMost); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if cond(rc.Totals()) {
			return true
		}
	}
	return cond(rc.Totals())
}
