package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const exposed = `# HELP jobs_total Jobs.
# TYPE jobs_total counter
jobs_total{kind="a",job="theirs",instance="other:1",exported_job="x"} 7
jobs_total{kind="quo\"te \\ \n"} 1e9
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.5"} 1
wait_seconds_bucket{le="+Inf"} 3
wait_seconds_sum 4.25
wait_seconds_count 3
# TYPE size summary
size{quantile="0.5"} -0.25
size_sum 1
size_count 2
empty_label{a="",b="c"} 1
inf +Inf
dropped_by_rule 1
`

// What the agent relays is what Prometheus has when it scrapes the target by itself: the same series, labels and values, and the same
// ones end when the target stops exposing them, or fails.
func TestRelayedAsPrometheusScrapes(t *testing.T) {
	var state atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		switch state.Load() {
		case 0:
			fmt.Fprint(w, exposed, "comes_and_goes 1\n")
		case 1:
			fmt.Fprint(w, exposed)
		case 2:
			fmt.Fprint(w, exposed, "broken{ 1\n")
		case 3:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer target.Close()
	host := strings.TrimPrefix(target.URL, "http://")
	const rules = "metric_relabel_configs: [{source_labels: [__name__], regex: dropped_by_rule, action: drop}, {source_labels: [kind], regex: a, target_label: seen, replacement: $0}]"
	prom := startPrometheus(t, "scrape_configs:\n- job_name: direct\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  static_configs: [{targets: [\""+host+"\"]}]\n  "+rules+"\n")
	startAgent(t, config(prom.write())+"probes:\n  scrape:\n  - {job_name: relayed, url: "+target.URL+"/metrics, "+rules+"}\n")

	// series of a job, by all that is not of the job itself
	series := func(job, instance string) (map[string]float64, error) {
		all, err := query(prom.address, `{job="`+job+`"}`)
		got := map[string]float64{}
		for _, f := range all {
			if f.Metric["instance"] != instance {
				err = fmt.Errorf("%v has not the instance %q", f.Metric, instance)
			}
			name := f.Metric["__name__"]
			delete(f.Metric, "job")
			delete(f.Metric, "instance")
			delete(f.Metric, "__name__")
			v := f.Value.Value
			if name == "scrape_duration_seconds" || name == "scrape_series_added" { // of one scrape each
				v = 0
			}
			got[fmt.Sprint(name, f.Metric)] = v
		}
		return got, err
	}
	hostname, _ := os.Hostname()
	same := func(what string, count int) {
		t.Helper()
		eventually(t, 20*time.Second, func() error {
			direct, err := series("direct", host)
			if err != nil {
				return err
			}
			relayed, err := series("relayed", hostname+":"+host[strings.LastIndex(host, ":")+1:])
			if err != nil {
				return err
			}
			if len(direct) != count || fmt.Sprint(direct) != fmt.Sprint(relayed) {
				return fmt.Errorf("%s: Prometheus has\n%v\nof the target itself (%d, want %d), and\n%v\nby the agent", what, direct, len(direct), count, relayed)
			}
			return nil
		})
	}
	same("all", 17)
	state.Store(1)
	same("after a series vanished", 16)
	state.Store(2)
	same("after the text broke", 5)
	state.Store(0)
	same("after it mended", 17)
	state.Store(3)
	same("after the target failed", 5)
}
