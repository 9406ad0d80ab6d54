package e2e

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// ledger is a receiver that keeps every sample in the order in which they came. Prometheus takes a sample twice
// without a word; here it shows. Something else may stand before it for a while.
type ledger struct {
	address string

	mu      sync.Mutex
	only1   bool                // it knows 1.0 alone
	lossy   bool                // the line may lose an answer: what comes again, value and time, is not told
	front   http.HandlerFunc    // answers everything; nil: nothing stands there
	met     int                 // requests that the present front has answered
	samples int                 // taken, in all
	series  map[string][]sample // by their labels
}

type sample struct {
	ms    int64
	value float64
}

func startLedger(t testing.TB, change ...func(*ledger)) *ledger {
	l := &ledger{series: map[string][]sample{}}
	for _, f := range change {
		f(l)
	}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	l.address = strings.TrimPrefix(server.URL, "http://")
	return l
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil { // cut on the way
		return
	}
	l.mu.Lock()
	front := l.front
	if front != nil {
		l.met++
	}
	l.mu.Unlock()
	if front != nil {
		front(w, r)
		return
	}
	n, err := l.take(r.Header, body)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		http.Error(w, err.Error(), http.StatusUnsupportedMediaType)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		if !l.only1 {
			w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", fmt.Sprint(n))
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func (l *ledger) take(h http.Header, packed []byte) (n int, err error) {
	v2 := strings.Contains(h.Get("Content-Type"), "write.v2.Request")
	if v2 && l.only1 || h.Get("Content-Encoding") != "snappy" {
		return 0, errors.ErrUnsupported
	}
	body, err := snappy.Decode(nil, packed)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := labels.NewScratchBuilder(16)
	if v2 {
		var request writev2.Request
		if err := request.Unmarshal(body); err != nil {
			return 0, err
		}
		for _, s := range request.Timeseries {
			all, err := s.ToLabels(&b, request.Symbols)
			if err != nil {
				return 0, err
			}
			for _, x := range s.Samples {
				l.note(all.String(), sample{x.Timestamp, x.Value})
			}
			n += len(s.Samples)
		}
		return n, nil
	}
	var request prompb.WriteRequest
	if err := request.Unmarshal(body); err != nil {
		return 0, err
	}
	for _, s := range request.Timeseries {
		name := s.ToLabels(&b, nil).String()
		for _, x := range s.Samples {
			l.note(name, sample{x.Timestamp, x.Value})
		}
		n += len(s.Samples)
	}
	return n, nil
}

func (l *ledger) note(series string, s sample) {
	before := l.series[series]
	if l.lossy && len(before) > 0 && s.ms <= before[len(before)-1].ms {
		for _, b := range before {
			if b.ms == s.ms && math.Float64bits(b.value) == math.Float64bits(s.value) {
				return
			}
		}
	}
	l.series[series] = append(before, s)
	l.samples++
}

// stand has something answer in the receiver's place; nil: the receiver again.
func (l *ledger) stand(front http.HandlerFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.front, l.met = front, 0
}

// down answers as a gateway does whose receiver is not there.
func down(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

// requests tells how many the present front has answered, and taken how many samples the receiver has.
func (l *ledger) requests() int { l.mu.Lock(); defer l.mu.Unlock(); return l.met }
func (l *ledger) taken() int    { l.mu.Lock(); defer l.mu.Unlock(); return l.samples }

// of returns the samples of the series that have all these pieces in their text, by that text.
func (l *ledger) of(pieces ...string) map[string][]sample {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := map[string][]sample{}
series:
	for name, samples := range l.series {
		for _, p := range pieces {
			if !strings.Contains(name, p) {
				continue series
			}
		}
		found[name] = samples[:len(samples):len(samples)]
	}
	return found
}

// points are the samples of a series that there is once, without stale markers.
func (l *ledger) points(t testing.TB, pieces ...string) (points []point) {
	t.Helper()
	all := l.of(pieces...)
	if len(all) > 1 {
		t.Fatalf("%d series of %v", len(all), pieces)
	}
	for _, samples := range all {
		for _, s := range samples {
			if !math.IsNaN(s.value) {
				points = append(points, point{s.ms, s.value})
			}
		}
	}
	return points
}

// rounds are the points of ownRuns, less the runs that have failed: one that is given up on a loaded machine has no
// round.
func (l *ledger) rounds(t testing.TB) []point {
	t.Helper()
	failed := map[int64]float64{}
	for _, p := range l.points(t, `"headend_agent_probe_runs_failed_total"`, `probe="agent"`) {
		failed[p.Ms] = p.Value
	}
	var points []point
	for _, p := range l.points(t, `"headend_agent_probe_runs_total"`, `probe="agent"`) {
		if f, known := failed[p.Ms]; known { // else that comes with the next request
			points = append(points, point{p.Ms, p.Value - f})
		}
	}
	return points
}

// has waits until so many of the agent's rounds about itself have come.
func (l *ledger) has(t testing.TB, rounds int) {
	t.Helper()
	eventually(t, 3*time.Minute, func() error {
		if n := len(l.rounds(t)); n < rounds {
			return fmt.Errorf("%d rounds have come, want %d", n, rounds)
		}
		return nil
	})
}

// fresh waits until a round has come that was measured from now on.
func (l *ledger) fresh(t testing.TB, atMost time.Duration) {
	t.Helper()
	from := time.Now()
	eventually(t, atMost, func() error {
		points := l.rounds(t)
		if len(points) == 0 {
			return errors.New("no round has come")
		}
		if newest := time.UnixMilli(points[len(points)-1].Ms); newest.Before(from) {
			age := time.Since(newest).Round(time.Millisecond)
			return fmt.Errorf("the newest of %d rounds is %s old", len(points), age)
		}
		return nil
	})
}

// single are probes with a series that each of their runs has.
var single = map[string]string{"loadavg": "node_load1", "memory": "node_memory_MemFree_bytes"}

// everyRoundOnce waits for the receiver to have caught up, and wants all that so many agents, one after the other,
// have measured until then to be there: each round once and in its turn, nothing twice, nothing counted as lost.
func (l *ledger) everyRoundOnce(t testing.TB, agents int) {
	t.Helper()
	l.fresh(t, 3*time.Minute)
	points := l.rounds(t)
	if n, where := lost(points); n != agents || where != "" {
		t.Errorf("%d rounds of %d agents, want those of %d: %s", len(points), n, agents, where)
	}
	for name, samples := range l.of() {
		for i := 1; i < len(samples); i++ {
			if back := samples[i-1].ms - samples[i].ms; back >= 0 {
				t.Errorf("%s: sample %d is of %d ms before the one that came before it", name, i, back)
				break
			}
		}
	}
	for probe, series := range single {
		l.complete(t, probe, series)
	}
	for _, loss := range []string{"dropped", "refused", "uncertain", "repeated"} {
		for name, samples := range l.of(`"headend_agent_remote_write_samples_` + loss + `_total"`) {
			for _, s := range samples {
				if s.value > 0 && !strings.Contains(name, `reason="relabel"`) {
					t.Errorf("%s is %v", name, s.value)
					break
				}
			}
		}
	}
}

// complete wants a sample of a series for each run of a probe; the last of them may be some requests behind.
func (l *ledger) complete(t testing.TB, probe, series string) {
	t.Helper()
	runs := func(what string) float64 {
		return total(l.points(t, `"headend_agent_probe_runs_`+what+`"`, `probe="`+probe+`"`))
	}
	eventually(t, time.Minute, func() error {
		want := runs("total") - runs("failed_total")
		if n := len(l.points(t, `__name__="`+series+`"`)); want == 0 || float64(n) < want {
			return fmt.Errorf("%s: %d samples of %v runs", series, n, want)
		}
		return nil
	})
}

// total is what a counter has counted that begins at 0 again with each agent.
func total(points []point) (sum float64) {
	for i, p := range points {
		if i == len(points)-1 || points[i+1].Value < p.Value {
			sum += p.Value
		}
	}
	return sum
}
