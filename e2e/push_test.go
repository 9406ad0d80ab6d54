package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"

	"headend-agent/buffer"
	"headend-agent/internal/metric"
	"headend-agent/push"
)

// current is the write handler of the current Prometheus on a TSDB of its own.
type current struct {
	t      *testing.T
	db     *tsdb.DB
	engine *promql.Engine
	url    string

	mu      sync.Mutex
	lose    int         // so many acceptances
	answers map[int]int // by status
}

func startCurrent(t *testing.T, window time.Duration) *current {
	t.Helper()
	o := tsdb.DefaultOptions()
	o.OutOfOrderTimeWindow = window.Milliseconds()
	db, err := tsdb.Open(t.TempDir(), slog.New(slog.DiscardHandler), client.NewRegistry(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c := &current{t: t, db: db, answers: map[int]int{}}
	c.engine = promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e8, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, EnableAtModifier: true, Parser: parser.NewParser(parser.Options{}),
	})
	handler := remote.NewWriteHandler(slog.New(slog.DiscardHandler), client.NewRegistry(), db,
		remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType}, false, false, false)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r)
		c.mu.Lock()
		c.answers[answer.Code]++
		lose := c.lose > 0 && answer.Code/100 == 2
		if lose {
			c.lose--
		}
		c.mu.Unlock()
		if lose {
			panic(http.ErrAbortHandler)
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// value asks PromQL for a single number.
func (c *current) value(promql string, at time.Time) float64 {
	c.t.Helper()
	q, err := c.engine.NewInstantQuery(c.t.Context(), c.db, nil, promql, at)
	if err != nil {
		c.t.Fatal(err)
	}
	defer q.Close()
	v, err := q.Exec(c.t.Context()).Vector()
	if err != nil {
		c.t.Fatal(err)
	}
	if len(v) != 1 {
		return -1
	}
	return v[0].F
}

// route is a buffer and a sender to a receiver.
type route struct {
	buffer *buffer.Buffer
	reader *buffer.Reader
	cfg    push.Config
	refs   []metric.Ref
}

func newRoute(t *testing.T, url, message string, series int) *route {
	t.Helper()
	bc := buffer.DefaultConfig()
	bc.Path = filepath.Join(t.TempDir(), "buffer")
	table := metric.NewTable()
	b, err := buffer.Open(bc, buffer.Parts{Table: table, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	r := &route{buffer: b, reader: b.Reader("test", buffer.Options{}), cfg: push.DefaultConfig()}
	r.cfg.URL, r.cfg.Name, r.cfg.ProtobufMessage, r.cfg.BacklogBytesPerSecond = url, "test", message, 0
	r.cfg.FlushInterval = model.Duration(100 * time.Millisecond)
	d := &metric.Desc{Name: "e2e_bytes_total", Help: "Bytes.", Type: metric.Counter, Unit: metric.Bytes}
	for i := range series {
		r.refs = append(r.refs, table.Intern(metric.LabelsOf(d.Name, "stream", fmt.Sprint("s", i)), d))
	}
	return r
}

// fill appends rounds; the value is the round's number.
func (r *route) fill(rounds int, first time.Time, step time.Duration) {
	for i := range rounds {
		values := make([]float64, len(r.refs))
		for k := range values {
			values[k] = float64(i)
		}
		r.buffer.Append(metric.Round{Source: "e2e", TimeMs: first.Add(time.Duration(i) * step).UnixMilli(), Series: r.refs, Values: values})
	}
}

// drain sends until nothing is left and returns what became of it.
func (r *route) drain(t *testing.T) buffer.DestinationStats {
	t.Helper()
	s, err := push.New(r.cfg, r.reader, push.Parts{External: []metric.Label{{Name: "job", Value: "headend"}}, Version: "e2e", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	eventually(t, time.Minute, func() error {
		if n, _ := r.reader.Pending(); n > 0 {
			return fmt.Errorf("%d samples wait; %+v", n, s.Status())
		}
		return nil
	})
	cancel()
	wg.Wait()
	return r.buffer.Stats().Destinations["test"]
}

var messages = map[string]string{"1.0": push.MessageV1, "2.0": push.MessageV2, "auto": push.MessageAuto}

func TestCurrentPrometheusHasEverySample(t *testing.T) {
	for name, message := range messages {
		for _, window := range []time.Duration{0, time.Hour} {
			t.Run(fmt.Sprintf("%s/window %v", name, window), func(t *testing.T) {
				c := startCurrent(t, window)
				r := newRoute(t, c.url, message, 300)
				now := time.Now()
				r.fill(60, now.Add(-30*time.Minute), 30*time.Second)
				st := r.drain(t)
				if st.Delivered != 18_000 || st.Refused+st.Uncertain != 0 {
					t.Errorf("%+v", st)
				}
				if n := c.value(`sum(count_over_time(e2e_bytes_total{job="headend"}[1h]))`, now); n != 18_000 {
					t.Errorf("%v samples are there", n)
				}
				if n := c.value(`max(max_over_time(e2e_bytes_total{stream="s7"}[1h]))`, now); n != 59 {
					t.Errorf("the last value is %v", n)
				}
			})
		}
	}
}

// Another sender has pushed newer samples of one series: those of ours are refused, and nothing else.
func TestCurrentPrometheusRefusesOneSeries(t *testing.T) {
	for name, message := range messages {
		t.Run(name, func(t *testing.T) {
			c := startCurrent(t, 0)
			now := time.Now()
			other := newRoute(t, c.url, message, 8)
			other.refs = other.refs[7:]
			other.fill(1, now.Add(-10*time.Second), time.Second)
			other.drain(t)
			r := newRoute(t, c.url, message, 300)
			r.fill(20, now.Add(-4*time.Minute), time.Second)
			st := r.drain(t)
			if st.Delivered != 299*20 || st.Refused != 20 {
				t.Errorf("%+v; want the 20 samples of one series refused", st)
			}
			if n := c.value(`sum(count_over_time(e2e_bytes_total{stream!="s7"}[1h]))`, now); n != 299*20 {
				t.Errorf("%v samples of the other series are there", n)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if n := c.answers[400]; n > 32 || message == push.MessageV2 && n != 1 {
				t.Errorf("%d requests were refused", n)
			}
		})
	}
}

// A day of backlog for a Prometheus that takes the last hour, with its head moved on by others.
func TestCurrentPrometheusWithoutAWindowAndABacklog(t *testing.T) {
	for name, message := range messages {
		t.Run(name, func(t *testing.T) {
			c := startCurrent(t, 0)
			now := time.Now()
			other := newRoute(t, c.url, message, 1)
			other.refs = []metric.Ref{metric.NewTable().Intern(metric.LabelsOf("others"), nil)}
			other.fill(1, now, time.Second)
			other.drain(t)
			r := newRoute(t, c.url, message, 100)
			const rounds = 24 * 60
			r.fill(rounds, now.Add(-24*time.Hour), time.Minute)
			st := r.drain(t)
			// By 1.0 a few samples of one series come late, because a newer one was accepted in the search for the age.
			if st.Delivered < 58*100-40 || st.Delivered > 61*100 || st.Delivered+st.Refused != rounds*100 {
				t.Errorf("%+v; want the last hour delivered", st)
			}
			n := c.value(`sum(count_over_time(e2e_bytes_total[2d]))`, now)
			if uint64(n) != st.Delivered {
				t.Errorf("%v samples are there, %d were counted", n, st.Delivered)
			}
		})
	}
	t.Run("with a window", func(t *testing.T) {
		c := startCurrent(t, 48*time.Hour)
		now := time.Now()
		r := newRoute(t, c.url, push.MessageAuto, 100)
		r.fill(24*60, now.Add(-24*time.Hour), time.Minute)
		if st := r.drain(t); st.Delivered != 144_000 {
			t.Errorf("%+v", st)
		}
		if n := c.value(`sum(count_over_time(e2e_bytes_total[2d]))`, now); n != 144_000 {
			t.Errorf("%v samples are there", n)
		}
	})
}

// Answers that are lost: the receiver has the samples, once each, and none is counted as refused.
func TestCurrentPrometheusWhoseAnswersAreLost(t *testing.T) {
	for name, message := range messages {
		t.Run(name, func(t *testing.T) {
			c := startCurrent(t, 0)
			c.lose = 3
			r := newRoute(t, c.url, message, 50)
			now := time.Now()
			r.fill(40, now.Add(-30*time.Minute), 30*time.Second)
			st := r.drain(t)
			if st.Refused != 0 || st.Delivered+st.Uncertain != 2000 {
				t.Errorf("%+v", st)
			}
			if n := c.value(`sum(count_over_time(e2e_bytes_total[1h]))`, now); n != 2000 {
				t.Errorf("%v samples are there", n)
			}
		})
	}
}

// A destination that is down takes nothing from another one.
func TestDestinationsAreIndependent(t *testing.T) {
	c := startCurrent(t, 0)
	r := newRoute(t, c.url, push.MessageAuto, 50)
	down := r.cfg
	down.URL, down.Name = "http://"+free(t)+"/api/v1/write", "down"
	s, err := push.New(down, r.buffer.Reader("down", buffer.Options{}), push.Parts{Version: "e2e", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	now := time.Now()
	r.fill(20, now.Add(-time.Minute), time.Second)
	if st := r.drain(t); st.Delivered != 1000 {
		t.Errorf("%+v", st)
	}
	cancel()
	wg.Wait()
	if st := r.buffer.Stats().Destinations["down"]; st.Pending != 1000 || st.Delivered != 0 || !st.Late {
		t.Errorf("the one that is down: %+v", st)
	}
}

// Debian's Prometheus knows 1.0 only.
func TestOldPrometheusByFallback(t *testing.T) {
	prom := startPrometheus(t, "")
	r := newRoute(t, "http://"+prom.write(), push.MessageAuto, 200)
	r.fill(30, time.Now().Add(-60*time.Second), time.Second)
	if st := r.drain(t); st.Delivered != 6000 {
		t.Errorf("%+v", st)
	}
	if got, err := one(prom.address, `sum(count_over_time(e2e_bytes_total[10m]))`); err != nil || got.Value.Value != 6000 {
		t.Errorf("%v, %v", got.Value.Value, err)
	}
	if note := r.reader.Note(); !strings.HasPrefix(note, "1.0 ") {
		t.Errorf("note %q", note)
	}
	if _, zstd := r.settle(t); zstd {
		t.Error("it is said to take zstd")
	}
}

// settle sends rounds until it has been found out whether the receiver takes zstd.
func (r *route) settle(t *testing.T) (rounds int, zstd bool) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		rounds++
		r.fill(1, time.Now(), time.Second)
		r.drain(t)
		f := strings.Fields(r.reader.Note())
		if len(f) < 4 {
			return fmt.Errorf("note %q", f)
		}
		zstd = f[3][0] == 'z'
		return nil
	})
	return rounds, zstd
}

// Left to itself the agent finds out whether a VictoriaMetrics takes zstd (Debian's is too old), and every sample is there once.
func TestVictoriaMetricsIsAskedForZstd(t *testing.T) {
	address := free(t)
	start(t, "victoria-metrics", "-httpListenAddr="+address, "-storageDataPath="+t.TempDir(), "-search.latencyOffset=0s")
	eventually(t, 30*time.Second, func() error { _, err := get("http://" + address + "/health"); return err })
	r := newRoute(t, "http://"+address+"/api/v1/write", push.MessageAuto, 200)
	rounds, zstd := r.settle(t)
	r.fill(30, time.Now().Add(-60*time.Second), time.Second)
	want := 200 * (30 + rounds)
	if st := r.drain(t); int(st.Delivered) != want || st.Refused > 0 {
		t.Errorf("%+v", st)
	}
	if _, after := r.settle(t); after != zstd {
		t.Errorf("by zstd before: %v, after: %v", zstd, after)
	}
	want += 200
	eventually(t, 20*time.Second, func() error {
		got, err := one(address, `sum(count_over_time(e2e_bytes_total[10m]))`)
		if err == nil && int(got.Value.Value) != want {
			err = fmt.Errorf("%v samples are there of %d", got.Value.Value, want)
		}
		return err
	})
}

func TestVictoriaMetricsTakesBothCompressions(t *testing.T) {
	address := free(t)
	start(t, "victoria-metrics", "-httpListenAddr="+address, "-storageDataPath="+t.TempDir(), "-search.latencyOffset=0s")
	eventually(t, 30*time.Second, func() error { _, err := get("http://" + address + "/health"); return err })
	for _, compression := range []string{push.CompressionSnappy, push.CompressionZstd} {
		r := newRoute(t, "http://"+address+"/api/v1/write", push.MessageAuto, 200)
		r.cfg.Compression = compression
		for i := range r.refs {
			r.refs[i] = metric.NewTable().Intern(metric.LabelsOf("e2e_"+compression, "stream", fmt.Sprint(i)), nil)
		}
		r.fill(30, time.Now().Add(-60*time.Second), time.Second)
		if st := r.drain(t); st.Delivered != 6000 {
			t.Errorf("%s: %+v", compression, st)
		}
		eventually(t, 20*time.Second, func() error {
			got, err := one(address, `sum(count_over_time(e2e_`+compression+`[10m]))`)
			if err == nil && got.Value.Value != 6000 {
				err = fmt.Errorf("%v samples are there", got.Value.Value)
			}
			return err
		})
	}
}
