package push

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"headend-agent/internal/metric"
)

// received is one request as a receiver sees it.
type received struct {
	header http.Header
	packed []byte
	v2     bool
	series []receivedSeries
	n      int // of samples

	families []prompb.MetricMetadata // by 1.0

	undecodable bool // by intention
}

// aside tells a request that carries no samples and was not meant to.
func (x received) aside() bool { return !x.undecodable && len(x.series) == 0 }

type receivedSeries struct {
	labels  string // name=value,...
	names   []string
	times   []int64
	values  []float64
	starts  []int64
	typ     int
	help    string
	unit    string
	symbols []string
}

// fake is a receiver whose answers a test writes.
type fake struct {
	t      testing.TB
	mu     sync.Mutex
	got    []received
	asides []received // those without samples
	answer func(w http.ResponseWriter, r *http.Request, x received)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	packed, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	x := decodeRequest(f.t, r.Header, packed)
	f.mu.Lock()
	if x.aside() {
		f.asides = append(f.asides, x)
	} else {
		f.got = append(f.got, x)
	}
	f.mu.Unlock()
	f.answer(w, r, x)
}

// requests returns what has come so far, but for requests without samples.
func (f *fake) requests() []received {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]received(nil), f.got...)
}

func (f *fake) bytes() int {
	n := 0
	for _, x := range f.requests() {
		n += len(x.packed)
	}
	return n
}

func decodeRequest(t testing.TB, h http.Header, packed []byte) received {
	t.Helper()
	x := received{header: h.Clone(), packed: packed, v2: strings.Contains(h.Get("Content-Type"), "write.v2")}
	if string(packed) == undecodable {
		x.undecodable = true
		return x
	}
	var body []byte
	var err error
	if h.Get("Content-Encoding") == "zstd" {
		var z *zstd.Decoder
		if z, err = zstd.NewReader(nil); err == nil {
			body, err = z.DecodeAll(packed, nil)
			z.Close()
		}
	} else {
		body, err = snappy.Decode(nil, packed)
	}
	if err != nil {
		t.Errorf("decode body: %v", err)
		return x
	}
	if x.v2 {
		var req writev2.Request
		if err := req.Unmarshal(body); err != nil {
			t.Errorf("unmarshal 2.0: %v", err)
		}
		for _, ts := range req.Timeseries {
			s := receivedSeries{typ: int(ts.Metadata.Type), help: req.Symbols[ts.Metadata.HelpRef], unit: req.Symbols[ts.Metadata.UnitRef], symbols: req.Symbols}
			for i := 0; i+1 < len(ts.LabelsRefs); i += 2 {
				s.names = append(s.names, req.Symbols[ts.LabelsRefs[i]])
				s.labels += req.Symbols[ts.LabelsRefs[i]] + "=" + req.Symbols[ts.LabelsRefs[i+1]] + ","
			}
			for _, v := range ts.Samples {
				s.times, s.values, s.starts = append(s.times, v.Timestamp), append(s.values, v.Value), append(s.starts, v.StartTimestamp)
			}
			x.n += len(s.times)
			x.series = append(x.series, s)
		}
		return x
	}
	var req prompb.WriteRequest
	if err := req.Unmarshal(body); err != nil {
		t.Errorf("unmarshal 1.0: %v", err)
	}
	x.families = req.Metadata
	for _, ts := range req.Timeseries {
		var s receivedSeries
		for _, l := range ts.Labels {
			s.names = append(s.names, l.Name)
			s.labels += l.Name + "=" + l.Value + ","
		}
		for _, v := range ts.Samples {
			s.times, s.values = append(s.times, v.Timestamp), append(s.values, v.Value)
		}
		x.n += len(s.times)
		x.series = append(x.series, s)
	}
	return x
}

// asksForZstd tells the question whether the receiver takes it.
func (x received) asksForZstd() bool {
	return x.aside() && len(x.families) == 0 && x.header.Get("Content-Encoding") == "zstd"
}

// ok answers that all was written, as a receiver that takes zstd only where it is demanded.
func ok(w http.ResponseWriter, _ *http.Request, x received) {
	if x.asksForZstd() {
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	}
	if x.v2 {
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(x.n))
	}
	w.WriteHeader(http.StatusNoContent)
}

// tsdb answers as Prometheus does: in order only, nothing older than bound; 1.0 all or nothing, 2.0 what is possible.
type tsdb struct {
	mu      sync.Mutex
	bound   time.Duration // 0: none
	bad     func(series string, ms int64, v float64) bool
	quiet   bool // 2.0 all or nothing, too, and no Written headers on errors
	window  bool // it takes samples out of order
	last    map[string]int64
	lastV   map[string]float64
	stored  int
	late    int // samples that came out of order
	all     map[string][]int64
	anyV1   bool
	lostNow int // answers to lose after storing
}

func (d *tsdb) answer(w http.ResponseWriter, r *http.Request, x received) {
	if x.asksForZstd() {
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	}
	d.mu.Lock()
	if d.last == nil {
		d.last, d.lastV, d.all = map[string]int64{}, map[string]float64{}, map[string][]int64{}
	}
	written, refused := 0, 0
	d.anyV1 = d.anyV1 || !x.v2
	check := func(s string, ms int64, v float64) (store, good bool) {
		switch last, known := d.last[s]; {
		case d.bad != nil && d.bad(s, ms, v), d.bound > 0 && time.Since(time.UnixMilli(ms)) > d.bound:
			return false, false
		case known && ms == last && v == d.lastV[s], d.window && slices.Contains(d.all[s], ms):
			return false, true
		case d.window:
			return true, true
		case known && ms <= last:
			d.late++
			return false, false
		}
		return true, true
	}
	for pass := range 2 {
		if pass == 1 && refused > 0 && (!x.v2 || d.quiet) {
			break
		}
		refused, written = 0, 0
		temp := map[string]int64{}
		for _, s := range x.series {
			for i, ms := range s.times {
				store, good := check(s.labels, ms, s.values[i])
				if last, in := temp[s.labels]; in && ms <= last && !d.window {
					store, good = false, false
				}
				if !good {
					refused++
					continue
				}
				written++
				temp[s.labels] = ms
				if pass == 1 && store {
					d.last[s.labels], d.lastV[s.labels] = ms, s.values[i]
					d.all[s.labels] = append(d.all[s.labels], ms)
					d.stored++
				}
			}
		}
	}
	lose := d.lostNow > 0 && refused == 0
	if lose {
		d.lostNow--
	}
	d.mu.Unlock()
	if lose {
		panic(http.ErrAbortHandler)
	}
	if x.v2 && (refused == 0 || !d.quiet) {
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(written))
	}
	if refused > 0 {
		http.Error(w, "out of order sample", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// setup is a sender with a source, to a receiver.
type setup struct {
	cfg    Config
	source *memory
	sender *Sender
	log    *logText
}

type logText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// config is the default but for what tests want to see quickly.
func config(url string, change ...func(*Config)) Config {
	cfg := DefaultConfig()
	cfg.URL, cfg.Name, cfg.FlushInterval, cfg.BacklogBytesPerSecond = url, "test", model.Duration(100*time.Millisecond), 0
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}

func v1Only(c *Config) { c.ProtobufMessage = MessageV1 }
func v2Only(c *Config) { c.ProtobufMessage = MessageV2 }

func newSetup(t testing.TB, cfg Config) *setup {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s := &setup{cfg: cfg, source: newMemory(), log: &logText{}}
	s.again(t)
	return s
}

// again makes a new sender for the same source, as a restart does.
func (s *setup) again(t testing.TB) {
	t.Helper()
	var err error
	external := []metric.Label{{Name: "job", Value: "headend"}, {Name: "instance", Value: "edge1"}}
	if s.sender, err = New(s.cfg, s.source, Parts{External: external, Version: "1.2.3", Log: slog.New(slog.NewTextHandler(s.log, nil))}); err != nil {
		t.Fatal(err)
	}
}

// run sends until cond holds, and then stops.
func (s *setup) run(t testing.TB, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.sender.Run(ctx) })
	for end := time.Now().Add(time.Minute); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("nothing more happens; outcome %+v", s.source.outcome())
			break
		}
	}
	cancel()
	wg.Wait()
}

// drained tells that everything is acknowledged.
func (s *setup) drained() bool {
	n, _ := s.source.Pending()
	return n == 0
}

func serve(t testing.TB, answer func(http.ResponseWriter, *http.Request, received)) (*fake, string) {
	f := &fake{t: t, answer: answer}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, server.URL + "/api/v1/write"
}

func outcome(o metric.Outcome) string {
	return fmt.Sprintf("delivered %d refused %d uncertain %d dropped %v", o.Delivered, o.Refused, o.Uncertain, o.Dropped)
}

func check[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// metrics is the sender's own exposition.
func (s *setup) metrics(t testing.TB) string {
	set := metric.NewSet(metric.NewTable(), 1000)
	if err := s.sender.Collect(t.Context(), set); err != nil {
		t.Error(err)
	}
	var text metric.Text
	set.End(metric.Round{}, text.Add)
	var b strings.Builder
	text.WriteTo(&b)
	return b.String()
}
