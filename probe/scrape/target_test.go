package scrape

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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
			return k.New(fromYAML(text), probetest.Env(t, "testdata"))
		}
	}
	t.Fatalf("no kind %q", kind)
	return nil, nil
}

func scraper(t testing.TB, url, more string) probe.Probe {
	t.Helper()
	p, err := build(t, "scrape", "job_name: app\nurl: "+url+"\n"+more)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// serve answers everything with one body.
func serve(t testing.TB, contentType, body string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{contentType}
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s
}

// collect runs p and returns its samples as lines, the address of the target as PORT and times it took as 0.
func collect(t testing.TB, p probe.Probe) (string, error) {
	t.Helper()
	s := metric.NewSet(metric.NewTable(), 100_000)
	err := p.Collect(t.Context(), s)
	var b strings.Builder
	s.End(metric.Round{}, func(r metric.Round) {
		for i, ref := range r.Series {
			v := r.Values[i]
			if ref.Labels.Name() == "scrape_duration_seconds" {
				v = 0
			}
			fmt.Fprintf(&b, "%s %v", ref.Labels, v)
			if r.TimeMs != 0 {
				fmt.Fprintf(&b, " @%d", r.TimeMs)
			}
			b.WriteString("\n")
		}
	})
	text := b.String()
	if tg, ok := p.(*target); ok {
		text = strings.ReplaceAll(text, ":"+tg.url.Port()+`"`, `:PORT"`)
	}
	return text, err
}

func check(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func report(up, scraped, kept, added int) string {
	const ls = `{instance="edge-1:PORT",job="app"}`
	return fmt.Sprintf("up%s %d\nscrape_duration_seconds%s 0\nscrape_samples_scraped%s %d\nscrape_samples_post_metric_relabeling%s %d\nscrape_series_added%s %d\n",
		ls, up, ls, ls, scraped, ls, kept, ls, added)
}

const someText = `# HELP reqs_total Requests.
# TYPE reqs_total counter
reqs_total{code="200",job="theirs",instance="i",exported_job="e"} 7
reqs_total{code="500"} 1 1700000000123
# TYPE lat histogram
lat_bucket{le="1"} 2
lat_bucket{le="+Inf"} 3
lat_sum 4.5
lat_count 3
plain NaN
`

func TestScrapeText(t *testing.T) {
	s := serve(t, "text/plain; version=0.0.4", someText)
	p := scraper(t, s.URL, "")
	got, err := collect(t, p)
	if err != nil {
		t.Fatal(err)
	}
	check(t, got, `reqs_total{code="500",instance="edge-1:PORT",job="app"} 1 @1700000000123
`+report(1, 7, 7, 7)+`reqs_total{code="200",exported_exported_job="theirs",exported_instance="i",exported_job="e",instance="edge-1:PORT",job="app"} 7
lat_bucket{instance="edge-1:PORT",job="app",le="1.0"} 2
lat_bucket{instance="edge-1:PORT",job="app",le="+Inf"} 3
lat_sum{instance="edge-1:PORT",job="app"} 4.5
lat_count{instance="edge-1:PORT",job="app"} 3
plain{instance="edge-1:PORT",job="app"} NaN
`)
	if got, _ := collect(t, p); !strings.Contains(got, "scrape_series_added{instance=\"edge-1:PORT\",job=\"app\"} 0\n") {
		t.Errorf("a second scrape added series:\n%s", got)
	}
	if p.(*target).Target() != s.URL+"/metrics" {
		t.Errorf("target is %q", p.(*target).Target())
	}
	if a, b := scraper(t, s.URL, "params: {m: [x]}").(*target).Target(), scraper(t, s.URL, "params: {m: [y]}").(*target).Target(); a == b {
		t.Errorf("two targets that differ by parameters are both %q", a)
	}
}

// Of a target of this host, the vendor's names that another probe has are left out and counted; said when that begins and ends.
func TestOwnNamesAreLeftOut(t *testing.T) {
	const text = "flussonic_stream_bitrate{stream=\"a\"} 1\nflussonic_stream_bitrate{stream=\"b\"} 2\nflussonic_gpu_temp 3\nother 4\n"
	body := text
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, body)
	}))
	defer s.Close()
	var log bytes.Buffer
	with := func(more string) probe.Probe {
		env := probetest.Env(t, "testdata")
		env.Owners = map[string]string{"flussonic_stream_bitrate": "flussonic"}
		env.Log = slog.New(slog.NewTextHandler(&log, nil))
		p, err := newTarget(fromYAML("job_name: app\nurl: "+s.URL+"\n"+more), env)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := with("")
	const counted = "headend_scrape_samples_dropped_total{instance=\"edge-1:PORT\",job=\"app\",reason=\"own_name\"} "
	run := func(want string) {
		t.Helper()
		got, _ := collect(t, p)
		if tail := strings.Join(strings.SplitAfter(got, "\n")[5:], ""); tail != want {
			t.Errorf("got\n%swant\n%s", tail, want)
		}
	}
	const rest = "flussonic_gpu_temp{instance=\"edge-1:PORT\",job=\"app\"} 3\nother{instance=\"edge-1:PORT\",job=\"app\"} 4\n"
	run(rest + counted + "2\n")
	run(rest + counted + "4\n")
	body = "broken{"
	run(counted + "4\n")
	body = "other 4\n"
	run("other{instance=\"edge-1:PORT\",job=\"app\"} 4\n" + counted + "4\n")
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("said %d times, want 2:\n%s", n, log.String())
	}
	body = text
	for _, more := range []string{"labels: {instance: 'other:80'}", "metric_relabel_configs: [{source_labels: [__name__], regex: (.+), target_label: __name__, replacement: vendor_$1}]"} {
		if got, err := collect(t, with(more)); err != nil || strings.Contains(got, "own_name") || strings.Count(got, "flussonic_stream_bitrate") != 2 {
			t.Errorf("%s: %v\n%s", more, err, got)
		}
	}
}

func TestScrapeOptions(t *testing.T) {
	for _, c := range []struct{ name, config, want string }{
		{"honor_labels", "honor_labels: true\nmetric_relabel_configs: [{source_labels: [code], regex: '200', action: keep}]",
			`reqs_total{code="200",exported_job="e",instance="i",job="theirs"} 7`},
		{"relabel", "metric_relabel_configs: [{source_labels: [__name__], regex: plain, action: keep}, {target_label: __name__, replacement: renamed}]",
			`renamed{instance="edge-1:PORT",job="app"} NaN`},
		{"ignore times", "honor_timestamps: false\nmetric_relabel_configs: [{source_labels: [code], regex: '500', action: keep}]",
			`reqs_total{code="500",instance="edge-1:PORT",job="app"} 1`},
		{"labels", "labels: {site: x, job: other}\nmetric_relabel_configs: [{source_labels: [__name__], regex: lat_sum, action: keep}]",
			`lat_sum{instance="edge-1:PORT",job="other",site="x"} 4.5`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := collect(t, scraper(t, serve(t, "text/plain", someText).URL, c.config))
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(got), "\n")
			if len(lines) != 6 || lines[5] != c.want {
				t.Errorf("got\n%s\nwant the last of 6 lines to be\n%s", got, c.want)
			}
		})
	}
}

func TestScrapeFailures(t *testing.T) {
	many := strings.Repeat("m{a=\"b\"} 1\n", 10)
	for _, c := range []struct{ name, contentType, body, config, err string }{
		{"html", "text/html", "<html>", "", "answers HTML"},
		{"html in disguise", "text/plain", "\n <!doctype html>", "", "body is HTML"},
		{"html for openmetrics", openMetricsType, "<html># EOF\n", "", "body is HTML"},
		{"html with a fallback", "text/html", "<html>", "fallback_scrape_protocol: PrometheusText0.0.4", "body is HTML"},
		{"json", "application/json", "{}", "", `answers Content-Type "application/json"`},
		{"no type", "", "a 1\n", "", "answers without Content-Type"},
		{"broken", "text/plain", many + "a{ 1\n", "", "parse exposition"},
		{"no end", openMetricsType, "a 1\n", "", "does not end with # EOF"},
		{"data after the end", openMetricsType, "a 1\n# EOF\nb 1\n", "", "unexpected data after # EOF"},
		{"empty openmetrics", openMetricsType, "", "", "does not end with # EOF"},
		{"too large", "text/plain", many, "body_size_limit: 50B", "exceeds the size limit"},
		{"sample_limit", "text/plain", many, "sample_limit: 9", "more than sample_limit 9"},
		{"label_limit", "text/plain", many, "label_limit: 3", "label_limit is 3"},
		{"label_name_length_limit", "text/plain", many, "label_name_length_limit: 7", "longer than label_name_length_limit 7"},
		{"label_value_length_limit", "text/plain", "m{a=\"bbbbbbbbbbbbbbbbbb\"} 1\n", "label_value_length_limit: 17", "longer than label_value_length_limit 17"},
		{"label twice", "text/plain", "m{a=\"b\",a=\"c\"} 1\n", "", "comes twice"},
		{"endless line", "text/plain", strings.Repeat("x", lineLimit+1), "", "a line is longer"},
		{"no name", "text/plain", many, "metric_relabel_configs: [{regex: __name__, action: labeldrop}]", "no metric name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := collect(t, scraper(t, serve(t, c.contentType, c.body).URL, c.config))
			var partial *probe.Partial
			if !errors.As(err, &partial) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error is %v, want one with %q", err, c.err)
			}
			if lines := strings.Split(strings.TrimSpace(got), "\n"); len(lines) != 5 || !strings.HasPrefix(got, "up{instance=\"edge-1:PORT\",job=\"app\"} 0\n") {
				t.Errorf("a failed scrape left\n%s", got)
			}
		})
	}
}

func TestScrapeStatusAndSecrets(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, pass, _ := r.BasicAuth(); user != "u" || pass != "p" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "token{is=%q} 1\n", r.URL.Query().Get("token"))
	}))
	defer s.Close()
	if got, err := collect(t, scraper(t, s.URL, "basic_auth: {username: u, password: p}\nparams: {token: [hidden]}")); err != nil || !strings.Contains(got, `is="hidden"`) {
		t.Errorf("with the password: %v\n%s", err, got)
	}
	p := scraper(t, s.URL, "params: {token: [hidden]}")
	if _, err := collect(t, p); err == nil || !strings.Contains(err.Error(), "401 Unauthorized") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("without: %v", err)
	}
	s.Close()
	if _, err := collect(t, p); err == nil || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("with nobody there: %v", err)
	}
}

// A body that never ends is cut.
func TestEndlessBody(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		for {
			if _, err := io.WriteString(w, "# HELP a Help.\na 1\n"); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	got, err := collect(t, scraper(t, s.URL, "body_size_limit: 1MB"))
	if err == nil || !strings.Contains(err.Error(), "body exceeds the size limit") || strings.Count(got, "\n") != 5 {
		t.Errorf("%v\n%.500s", err, got)
	}
}

func TestScrapeGzip(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		if r.Header.Get("Accept-Encoding") != "gzip" {
			io.WriteString(w, "packed 0\n")
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, "packed 1\n")
		z.Close()
	}))
	defer s.Close()
	for config, want := range map[string]string{"enable_compression: true": "} 1\n", "": "} 0\n"} {
		p := scraper(t, s.URL, config)
		for range 2 {
			if got, err := collect(t, p); err != nil || !strings.HasSuffix(got, want) {
				t.Errorf("%q: %v\n%s", config, err, got)
			}
		}
	}
}

// A target that is too slow is reported before the deadline: after it, nobody listens.
func TestSlowTargetIsReportedInTime(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	set := metric.NewSet(metric.NewTable(), 100)
	if err := scraper(t, s.URL, "").Collect(ctx, set); !errors.Is(err, context.DeadlineExceeded) || set.Len() != 5 {
		t.Errorf("%v with %d samples, want the deadline and 5", err, set.Len())
	}
}

func TestBadConfig(t *testing.T) {
	for _, c := range []struct{ text, err string }{
		{"url: http://127.0.0.1/", "job_name is missing"},
		{"job_name: x\nurl: ftp://h/", "is not http"},
		{"job_name: x\nurl: /metrics", "is not http"},
		{"job_name: x\nurl: http://h/\nfallback_scrape_protocol: HTML", "is not known"},
		{"job_name: x\nurl: http://h/\nlabels: {__name__: y}", "is not valid"},
		{"job_name: x\nurl: http://h/\nbasic_auth: {username: a}\nbearer_token: b", "at most one of"},
		{"job_name: x\nurl: http://h/\nmetric_relabel_configs: [{action: hashmod}]", "hashmod"},
		{"job_name: x\nurl: http://h/\nmetric_relabel_configs: [null]", "empty"},
		{"job_name: x\nurl: http://h/\nbogus: 1", "bogus"},
		{"job_name: x\nurl: http://h/\nbasic_auth: {username: a, bogus: 1}", "bogus"},
	} {
		if _, err := build(t, "scrape", c.text); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %v, want %q", c.text, err, c.err)
		}
	}
}

func TestInstanceLabel(t *testing.T) {
	for url, want := range map[string]string{
		"http://127.0.0.1:9100": "edge-1:9100", "http://localhost": "edge-1:80", "https://[::1]": "edge-1:443",
		"http://10.0.0.1:9100/x": "10.0.0.1:9100", "http://[2001:db8::1]:1": "[2001:db8::1]:1",
	} {
		if got := scraper(t, url, "").(*target).relay.target.Get("instance"); got != want {
			t.Errorf("%s: instance %q, want %q", url, got, want)
		}
	}
}
