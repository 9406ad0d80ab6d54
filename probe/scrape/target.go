package scrape

import (
	"compress/gzip"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	up          = &metric.Desc{Name: "up", Help: "Whether the target's last scrape succeeded.", Type: metric.Gauge}
	duration    = &metric.Desc{Name: "scrape_duration_seconds", Help: "Time that the scrape took.", Type: metric.Gauge, Unit: metric.Seconds}
	scraped     = &metric.Desc{Name: "scrape_samples_scraped", Help: "Samples that the target exposed.", Type: metric.Gauge}
	kept        = &metric.Desc{Name: "scrape_samples_post_metric_relabeling", Help: "Samples left after metric relabelling.", Type: metric.Gauge}
	added       = &metric.Desc{Name: "scrape_series_added", Help: "Series that the scrape before did not have.", Type: metric.Gauge}
	dropped     = droppedDesc("scrape", "a target of this host")
	targetDescs = []*metric.Desc{up, duration, scraped, kept, added}
)

// accept asks for what Prometheus asks for, without the binary format.
const accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4," +
	"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"

// target scrapes one URL.
type target struct {
	url      *url.URL
	request  *http.Request
	client   *http.Client
	fallback string
	relay    *relay
	unzip    *gzip.Reader
	report   []metric.Ref // of targetDescs, with the target's labels
	dropped  metric.Ref
	own      ownNames
}

func newTarget(decode func(any) error, env probe.Env) (probe.Probe, error) {
	c := defaultConfig()
	if err := decode(&c); err != nil {
		return nil, err
	}
	u, err := c.address()
	if err != nil {
		return nil, err
	}
	client, err := config.NewClientFromConfig(c.HTTPClientConfig, "scrape", config.WithUserAgent("headend-agent"))
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequest(http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("Accept-Encoding", "identity")
	if c.EnableCompression == nil && !loopback(u.Hostname()) || c.EnableCompression != nil && *c.EnableCompression {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	t := &target{url: u, request: r, client: client, fallback: fallbackTypes[c.FallbackProtocol]}
	t.own.log = env.Log.With("target", t.Target())
	t.relay = newRelay(rules{
		target: c.targetLabels(u, env.Hostname), honorLabels: c.HonorLabels, relabel: c.MetricRelabelConfigs,
		limits: limits{int64(c.BodySizeLimit), c.SampleLimit, c.LabelLimit, c.LabelNameLimit, c.LabelValueLimit},
	}, &lines{size: chunkSize})
	if c.ofThisHost(u) {
		t.relay.owners = env.Owners
	}
	if !c.HonorTimestamps {
		t.relay.ownTimes = ignoreTimes
	}
	return t, nil
}

// Target names what is scraped, without secrets: parameters may be some, so a hash stands for them.
func (t *target) Target() string {
	u := *t.url
	if u.RawQuery != "" {
		h := fnv.New32a()
		h.Write([]byte(u.RawQuery))
		u.RawQuery, u.Fragment = "", fmt.Sprintf("%08x", h.Sum32())
	}
	return u.Redacted()
}

// Close closes the connection that is kept for the next scrape. One that a scrape under way uses is closed when that ends.
func (t *target) Close() error {
	t.client.CloseIdleConnections()
	return nil
}

// Collect adds up and scrape_* first: a failed scrape leaves them alone in the run.
func (t *target) Collect(ctx context.Context, out *metric.Set) error {
	start := time.Now()
	ctx, cancel := probe.Early(ctx)
	defer cancel()
	t.addReport(out)
	mark := out.Mark()
	n, err := t.scrape(ctx, out)
	out.Amend(1, time.Since(start).Seconds())
	out.Amend(2, float64(n.scraped))
	out.Amend(3, float64(n.kept))
	out.Amend(4, float64(n.added))
	if err != nil {
		out.Rewind(mark)
	} else {
		out.Amend(0, 1)
		t.own.count(n.owned)
	}
	if t.own.total > 0 {
		out.AddRef(t.dropped, float64(t.own.total), 0)
	}
	if err != nil {
		return &probe.Partial{Err: err}
	}
	return nil
}

func (t *target) addReport(out *metric.Set) {
	if t.report == nil {
		for _, d := range targetDescs {
			t.report = append(t.report, t.intern(out, d))
		}
		t.dropped = t.intern(out, dropped, metric.Label{Name: "reason", Value: ownName})
	}
	for _, ref := range t.report {
		out.AddRef(ref, 0, 0)
	}
}

// intern makes a series of the target itself.
func (t *target) intern(out *metric.Set, d *metric.Desc, own ...metric.Label) metric.Ref {
	return out.Intern(t.labels(d.Name, own...), d)
}

// Labels returns those of the series with the fewest: the target's own.
func (t *target) Labels() metric.Labels { return t.labels(targetDescs[0].Name) }

func (t *target) labels(name string, own ...metric.Label) metric.Labels {
	ls := append(own, metric.Label{Name: metric.NameLabel, Value: name})
	t.relay.target.Range(func(l labels.Label) { ls = append(ls, metric.Label{Name: l.Name, Value: l.Value}) })
	return metric.NewLabels(ls)
}

func (t *target) scrape(ctx context.Context, out *metric.Set) (counts, error) {
	r := t.request.WithContext(ctx)
	if end, ok := ctx.Deadline(); ok {
		r.Header = r.Header.Clone()
		r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(time.Until(end).Seconds(), 'f', 3, 64))
	}
	resp, err := t.client.Do(r)
	if err != nil {
		return counts{}, fmt.Errorf("scrape %s: %w", t.Target(), probe.AskError(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return counts{}, fmt.Errorf("scrape %s: server returned HTTP status %s", t.Target(), resp.Status)
	}
	format, err := mediaType(resp.Header.Get("Content-Type"), t.fallback)
	if err != nil {
		return counts{}, fmt.Errorf("scrape %s: %w", t.Target(), err)
	}
	body := io.Reader(resp.Body)
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if body, err = t.gunzip(body); err != nil {
			return counts{}, fmt.Errorf("scrape %s: %w", t.Target(), err)
		}
	}
	n, err := t.relay.read(body, format, out)
	if err != nil {
		err = fmt.Errorf("scrape %s: %w", t.Target(), probe.AskError(err))
	}
	return n, err
}

func (t *target) gunzip(body io.Reader) (io.Reader, error) {
	if t.unzip == nil {
		t.unzip = new(gzip.Reader)
	}
	if err := t.unzip.Reset(body); err != nil {
		return nil, fmt.Errorf("read gzip header: %w", err)
	}
	return t.unzip, nil
}
