package scrape

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"headend-agent/internal/metric"
)

const openMetricsText = `# HELP reqs Requests.
# TYPE reqs counter
# UNIT lat_seconds seconds
reqs_total{code="200"} 7 # {trace="x"} 1 1.5
reqs_created{code="200"} 1700000000
# TYPE lat_seconds histogram
# HELP lat_seconds Latency.
lat_seconds_bucket{le="1.0"} 2 1700000000.5
lat_seconds_bucket{le="+Inf"} 3
lat_seconds_sum 4.5
lat_seconds_count 3
# TYPE build info
build_info{version="1"} 1
# EOF
`

// parsed is what Prometheus' parser makes of a whole text: the series, values and times, and whether it is refused.
func parsed(text []byte, format string) (lines []string, refused bool) {
	p, err := textparse.New(bytes.Clone(text), format, nil, textparse.ParserOptions{})
	if err != nil {
		return nil, true
	}
	for {
		e, err := p.Next()
		if err == io.EOF {
			return lines, false
		}
		if err != nil {
			return nil, true
		}
		if e != textparse.EntrySeries {
			continue
		}
		_, ts, v := p.Series()
		var ls labels.Labels
		p.Labels(&ls)
		line := fmt.Sprint(ls, " ", v)
		if ts != nil && *ts != 0 { // 0 stands for none, as our rounds have it
			line += fmt.Sprint(" @", *ts)
		}
		lines = append(lines, line)
	}
}

// FuzzChunks: a body read in small chunks gives what Prometheus' parser gives for the whole.
func FuzzChunks(f *testing.F) {
	f.Add([]byte(someText), false)
	f.Add([]byte(openMetricsText), true)
	f.Add([]byte("a 1\n\n# EOF"), true)
	f.Add([]byte("# EOF\n"), true)
	f.Add([]byte("x# EOF\n"), true)
	f.Add([]byte("a{b=\"\n\"} 1\nc 2"), false)
	f.Fuzz(func(t *testing.T, text []byte, openMetrics bool) {
		if bytes.IndexByte(text, 0) >= 0 {
			return // the parser takes NUL for the end
		}
		format := textType
		if openMetrics {
			format = openMetricsType
		}
		want, refused := parsed(text, format)
		r := newRelay(rules{}, &lines{size: chunkSize})
		r.lines.size = 7 // so that every line crosses the end of a chunk
		out := metric.NewSet(metric.NewTable(), 1<<20)
		_, err := r.read(iotest.OneByteReader(bytes.NewReader(text)), format, out)
		if refused {
			if err == nil {
				t.Errorf("%q is refused whole, but taken in chunks", text)
			}
			return
		}
		if err != nil {
			if ours := err.Error(); strings.Contains(ours, "comes twice") || strings.Contains(ours, "no metric name") || strings.Contains(ours, "not valid") {
				return // by rules that the parser leaves to the scrape
			}
			t.Fatalf("%q: %v", text, err)
		}
		if out.Len() != len(want) {
			t.Errorf("%q: %d samples, want %d", text, out.Len(), len(want))
		}
	})
}

func TestOpenMetrics(t *testing.T) {
	for size := 1; size < 200; size++ {
		r := newRelay(rules{}, &lines{size: chunkSize})
		r.lines.size = size
		out := metric.NewSet(metric.NewTable(), 100)
		if _, err := r.read(strings.NewReader(openMetricsText), openMetricsType, out); err != nil {
			t.Fatalf("chunks of %d: %v", size, err)
		}
		var got strings.Builder
		out.End(metric.Round{}, func(round metric.Round) {
			for i, ref := range round.Series {
				d := ref.Desc()
				fmt.Fprintf(&got, "%s %v @%d %s %s %q %q\n", ref.Labels, round.Values[i], round.TimeMs, d.Name, d.Type, d.Help, d.Unit)
			}
		})
		check(t, got.String(), `lat_seconds_bucket{le="1.0"} 2 @1700000000500 lat_seconds histogram "Latency." "seconds"
reqs_total{code="200"} 7 @0 reqs_total counter "Requests." ""
reqs_created{code="200"} 1.7e+09 @0 reqs_created gauge "Requests." ""
lat_seconds_bucket{le="+Inf"} 3 @0 lat_seconds histogram "Latency." "seconds"
lat_seconds_sum 4.5 @0 lat_seconds histogram "Latency." "seconds"
lat_seconds_count 3 @0 lat_seconds histogram "Latency." "seconds"
build_info{version="1"} 1 @0 build_info info "" ""
`)
	}
}

// A series learns what its exposition says of it from a later run, too.
func TestMetadataMayChange(t *testing.T) {
	r := newRelay(rules{}, &lines{size: chunkSize})
	out := metric.NewSet(metric.NewTable(), 100)
	for _, c := range []struct{ text, want string }{
		{"a 1\n", "unknown"}, {"# TYPE a gauge\na 1\n", "gauge"}, {"# TYPE a counter\na 1\n", "counter"}, {"# HELP a Help.\n# TYPE a counter\na 1\n", "counter Help."},
	} {
		out.Reset()
		n, err := r.read(strings.NewReader(c.text), textType, out)
		if err != nil || n.scraped != 1 {
			t.Fatal(n, err)
		}
		out.End(metric.Round{}, func(round metric.Round) {
			d := round.Series[0].Desc()
			if got := strings.TrimSpace(d.Type.String() + " " + d.Help); got != c.want {
				t.Errorf("%q: described as %q, want %q", c.text, got, c.want)
			}
		})
	}
}

func TestSeriesThatComeAndGoAreForgotten(t *testing.T) {
	r := newRelay(rules{}, &lines{size: chunkSize})
	out := metric.NewSet(metric.NewTable(), 10_000)
	for run := range 100 {
		var b strings.Builder
		for i := range 500 {
			fmt.Fprintf(&b, "# TYPE f%d_%d gauge\nf%d_%d 1\n", run, i, run, i)
		}
		out.Reset()
		n, err := r.read(strings.NewReader(b.String()), textType, out)
		if err != nil || n.added != 500 {
			t.Fatalf("run %d: %+v, %v", run, n, err)
		}
		out.End(metric.Round{}, func(metric.Round) {})
	}
	if len(r.known.last) > 3000 || len(r.families) > 5000 || len(r.descs) > 5000 {
		t.Errorf("%d series, %d families and %d descriptors are remembered", len(r.known.last), len(r.families), len(r.descs))
	}
}

// A target whose text breaks at the end of every answer does not fill the memory with what came before.
func TestSeriesOfAFailingTargetAreForgotten(t *testing.T) {
	r := newRelay(rules{}, &lines{size: chunkSize})
	out := metric.NewSet(metric.NewTable(), 10_000)
	for run := range 100 {
		var b strings.Builder
		for i := range 500 {
			fmt.Fprintf(&b, "f%d_%d 1\n", run, i)
		}
		out.Reset()
		if _, err := r.read(strings.NewReader(b.String()+"broken{ 1\n"), textType, out); err == nil {
			t.Fatal("the broken text is taken")
		}
	}
	if len(r.known.last) > 3000 {
		t.Errorf("%d series are remembered", len(r.known.last))
	}

	// One bad answer among good ones costs nothing.
	text := exposition(5000)
	for _, s := range []string{string(text), "broken{", string(text)} {
		out.Reset()
		r.read(strings.NewReader(s), textType, out)
	}
	if n := testing.AllocsPerRun(1, func() {
		out.Reset()
		r.read(strings.NewReader("broken{"), textType, out)
		out.Reset()
		r.read(bytes.NewReader(text), textType, out)
	}); n > 1000 {
		t.Errorf("%v allocations after one bad answer", n)
	}
}

// A series that is refused is refused again in the next run, not taken for one that is dropped.
func TestRefusedSeriesStaysRefused(t *testing.T) {
	r := newRelay(rules{limits: limits{labels: 1}}, &lines{size: chunkSize})
	out := metric.NewSet(metric.NewTable(), 100)
	for range 2 {
		out.Reset()
		if _, err := r.read(strings.NewReader("a{b=\"c\"} 1\n"), textType, out); err == nil || !strings.Contains(err.Error(), "label_limit is 1") {
			t.Errorf("error is %v", err)
		}
	}
}

// exposition has families of 1,000 series each.
func exposition(series int) []byte {
	var b bytes.Buffer
	for i := range series {
		if i%1000 == 0 {
			fmt.Fprintf(&b, "# HELP family_%d Some help text.\n# TYPE family_%d gauge\n", i/1000, i/1000)
		}
		fmt.Fprintf(&b, "family_%d{stream=\"s%06d\",padding=%q} %d\n", i/1000, i, strings.Repeat("x", 150), i)
	}
	return b.Bytes()
}

func TestSteadyScrapeDoesNotAllocatePerSeries(t *testing.T) {
	text := exposition(5000)
	r := newRelay(rules{target: labels.FromStrings("job", "j")}, &lines{size: chunkSize})
	out := metric.NewSet(metric.NewTable(), 50_000)
	body := bytes.NewReader(text)
	run := func() {
		body.Reset(text)
		out.Reset()
		if _, err := r.read(body, textType, out); err != nil {
			t.Fatal(err)
		}
		out.End(metric.Round{}, func(metric.Round) {})
	}
	run()
	run()
	if n := testing.AllocsPerRun(10, run); n > 500 {
		t.Errorf("%v allocations in a steady scrape of 5,000 series", n)
	}
}

// What is kept of 10 MB of exposition, series included, is no more than that.
func TestMemoryOfALargeExposition(t *testing.T) {
	text := exposition(50_000)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	r := newRelay(rules{target: labels.FromStrings("job", "j", "instance", "edge-1:9100")}, &lines{size: chunkSize})
	out := metric.NewSet(metric.NewTable(), 50_000)
	for range 3 {
		out.Reset()
		if _, err := r.read(bytes.NewReader(text), textType, out); err != nil {
			t.Fatal(err)
		}
		out.End(metric.Round{}, func(metric.Round) {})
	}
	kept := heap() - before
	t.Logf("%.1f MB of text, %.1f MB kept", float64(len(text))/1e6, float64(kept)/1e6)
	if kept > uint64(len(text)) {
		t.Errorf("%d bytes are kept of %d", kept, len(text))
	}
	runtime.KeepAlive(r)
	runtime.KeepAlive(out)
	runtime.KeepAlive(text)
}

func BenchmarkSteadyScrape(b *testing.B) {
	text := exposition(10_000)
	r := newRelay(rules{target: labels.FromStrings("job", "j", "instance", "edge-1:9100")}, &lines{size: chunkSize})
	out := metric.NewSet(metric.NewTable(), 50_000)
	body := bytes.NewReader(text)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		body.Reset(text)
		out.Reset()
		if _, err := r.read(body, textType, out); err != nil {
			b.Fatal(err)
		}
		out.End(metric.Round{}, func(metric.Round) {})
	}
	b.ReportMetric(float64(10_000*b.N)/b.Elapsed().Seconds(), "samples/s")
}

func TestBodyBroken(t *testing.T) {
	r := newRelay(rules{}, &lines{size: chunkSize})
	out := metric.NewSet(metric.NewTable(), 100)
	_, err := r.read(io.MultiReader(strings.NewReader("a 1\n"), iotest.ErrReader(errors.New("cut"))), textType, out)
	if err == nil || err.Error() != "read body: cut" {
		t.Errorf("error is %v", err)
	}
}
