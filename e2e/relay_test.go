package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Flussonic's own expositions are relayed, in both forms. A name has one owner: where the agent's own probes have it, the relayed series
// are left out, counted, and said once.
func TestFlussonicsOwnMetricsAreRelayed(t *testing.T) {
	streams := make([]string, 150) // more than a page of the server's
	for i := range streams {
		streams[i] = fmt.Sprintf("s%d", i)
	}
	f := startFlussonic(t, streams...)
	f.password("monitor", "s3cret")
	const login = `basic_auth: {username: monitor, password: s3cret}`
	relay := "  scrape:\n  - {job_name: vendor, url: " + f.URL + "/flussonic/api/metrics, " + login + "}\n"
	hostname, _ := os.Hostname()
	instance := hostname + f.URL[strings.LastIndex(f.URL, ":"):]
	is := func(prom *prometheus, promql string, want float64) {
		t.Helper()
		eventually(t, 30*time.Second, func() error {
			got, err := one(prom.address, promql)
			if err == nil && got.Value.Value != want {
				err = fmt.Errorf("%s is %v, want %v", promql, got.Value.Value, want)
			}
			return err
		})
	}
	none := func(prom *prometheus, promql string) {
		t.Helper()
		if all, err := query(prom.address, promql); err != nil || len(all) != 0 {
			t.Errorf("%s: %d series, %v", promql, len(all), err)
		}
	}

	t.Run("beside the probe of its API", func(t *testing.T) {
		prom := startPrometheus(t, "")
		a := startAgent(t, config(prom.write())+"probes:\n  flussonic: [{url: "+f.URL+", "+login+"}]\n"+relay)
		is(prom, `up{job="vendor",instance="`+instance+`"}`, 1)
		is(prom, `count(flussonic_stream_bytes_in{job="headend"})`, 150)
		is(prom, `rate(headend_scrape_samples_dropped_total{job="vendor",instance="`+instance+`",reason="own_name"}[10s]) > bool 1000`, 1)
		none(prom, `{job="vendor",__name__=~"flussonic_stream_.+"}`)
		none(prom, `{job="vendor",__name__=~"flussonic_(memory|cpu|clients|streams|net_input|disk).*"}`)
		is(prom, `flussonic_cpu_usage{job="headend"} >= bool 0`, 1)
		if log := a.log.String(); strings.Count(log, "the agent's own probes have their names") != 1 {
			t.Errorf("not said once:\n%s", log)
		}
	})
	t.Run("instead of it", func(t *testing.T) {
		prom := startPrometheus(t, "")
		startAgent(t, config(prom.write())+"probes:\n  flussonic: {enabled: false}\n"+relay)
		is(prom, `count({job="vendor",instance="`+instance+`",__name__=~"flussonic_stream_.+"})`, 1500)
		is(prom, `flussonic_clients{job="vendor"}`, 7)
		is(prom, `count(flussonic_cpu_usage)`, 1) // the host's
		none(prom, `flussonic_cpu_usage{job="vendor"}`)
	})
	t.Run("as OpenMetrics", func(t *testing.T) {
		prom := startPrometheus(t, "")
		startAgent(t, config(prom.write())+"probes:\n  flussonic: [{url: "+f.URL+", "+login+"}]\n"+
			"  scrape:\n  - {job_name: vendor, url: "+f.URL+"/streamer/api/v3/streams, params: {limit: [10000]}, "+login+"}\n")
		is(prom, `count(stream_bitrate{job="vendor",instance="`+instance+`",server_id="x"})`, 150)
		is(prom, `count(flussonic_stream_bytes_in)`, 150)
		is(prom, `rate(stream_input_bytes_total{name="s149"}[10s]) > bool 0`, 1)
		none(prom, `headend_scrape_samples_dropped_total`)
	})
}

// A wrong password, and a server that answers HTML, are said once each, whatever the number of rounds; doctor has a remedy.
func TestWrongPasswordIsSaidOnce(t *testing.T) {
	f := startFlussonic(t, "one")
	f.password("monitor", "s3cret")
	router := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>log in</html>")
	}))
	defer router.Close()
	const login = `basic_auth: {username: monitor, password: n0tthis}`
	prom := startPrometheus(t, "")
	a := startAgent(t, config(prom.write())+"probes:\n  flussonic:\n  - {name: locked, url: "+f.URL+", "+login+"}\n  - {name: router, url: "+router.URL+"}\n"+
		"  scrape:\n  - {job_name: locked, url: "+f.URL+"/flussonic/api/metrics, "+login+"}\n  - {job_name: router, url: "+router.URL+"/metrics}\n")
	eventually(t, 30*time.Second, func() error {
		all, err := query(prom.address, `headend_agent_probe_runs_failed_total{probe=~"flussonic|scrape"} >= 5`)
		if err == nil && len(all) != 4 {
			err = fmt.Errorf("%d probes have failed five times", len(all))
		}
		return err
	})
	log := a.log.String()
	for text, want := range map[string]int{
		"401 Unauthorized: user name or password is missing or wrong": 1, "server returned HTTP status 401 Unauthorized": 1,
		"answers HTML, not JSON": 1, "answers HTML, not an exposition": 1, "n0tthis": 0,
	} {
		if n := strings.Count(log, text); n != want {
			t.Errorf("the log has %q %d times, want %d:\n%s", text, n, want, log)
		}
	}
	out, err := exec.Command(agentBinary(t), "doctor", "--config.file="+a.config, "--web.listen-address="+free(t)).CombinedOutput()
	if err == nil {
		t.Error("doctor finds nothing wrong")
	}
	for _, text := range []string{"flussonic " + f.URL, "scrape " + f.URL, "view_auth", "answers HTML, not JSON", "answers HTML, not an exposition"} {
		if !strings.Contains(string(out), text) {
			t.Errorf("doctor does not say %q:\n%s", text, out)
		}
	}
	if strings.Contains(string(out), "n0tthis") {
		t.Error("doctor shows the password")
	}
}
