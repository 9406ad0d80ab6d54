package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// devices stands for what the machine of the test may not have: a GPU, a tuner, a disk of its own. The label fake keeps the series
// apart from real ones.
const devices = `
headend_gpu_up{gpu="0",pci="0000:3b:00.0"} 1
flussonic_gpu_enc{gpu="0"} 40
flussonic_gpu_dec{gpu="0"} 20
flussonic_gpu_temp{gpu="0"} 60
headend_gpu_encoder_sessions{gpu="0",codec="h264"} 9
headend_gpu_engine_utilization_max_ratio{gpu="0",engine="enc"} 0.6
headend_gpu_memory_used_bytes{gpu="0"} 4e9
headend_gpu_memory_total_bytes{gpu="0"} 16e9
headend_gpu_power_watts{gpu="0"} 45
headend_gpu_power_limit_watts{gpu="0"} 70
headend_gpu_clock_hertz{gpu="0",domain="video"} 1.5e9
# TYPE headend_gpu_throttled_seconds_total counter
headend_gpu_throttled_seconds_total{gpu="0",reason="power"} 2
# TYPE headend_gpu_xid_errors_total counter
headend_gpu_xid_errors_total{gpu="0",xid="79"} 1
headend_dvb_frontend_info{adapter="0",frontend="0"} 1
headend_dvb_frontend_in_use{adapter="0",frontend="0"} 1
headend_dvb_frontend_locked{adapter="0",frontend="0"} 1
headend_dvb_frontend_up{adapter="0",frontend="0"} 1
headend_dvb_frontend_cnr_decibels{adapter="0",frontend="0"} 14
headend_dvb_frontend_signal_strength_dbm{adapter="0",frontend="0"} -45
flussonic_dvb_card_strength{adapter="0",frontend="0"} 70
headend_dvb_frontend_frequency_hertz{adapter="0",frontend="0",system="dvbs2"} 1.2e9
# TYPE headend_dvb_frontend_block_errors_total counter
headend_dvb_frontend_block_errors_total{adapter="0",frontend="0"} 1
# TYPE headend_dvb_frontend_post_fec_bit_errors_total counter
headend_dvb_frontend_post_fec_bit_errors_total{adapter="0",frontend="0"} 1
# TYPE headend_dvb_frontend_post_fec_bits_total counter
headend_dvb_frontend_post_fec_bits_total{adapter="0",frontend="0"} 1e9
# TYPE headend_dvb_frontend_errors_total counter
headend_dvb_frontend_errors_total{adapter="0",frontend="0",reason="EIO"} 1
flussonic_disk_io_usage{device="sda"} 10
flussonic_disk_usage{device="sda1",path="/dvr"} 98
# TYPE node_disk_read_bytes_total counter
node_disk_read_bytes_total{device="sda"} 5
# TYPE node_disk_written_bytes_total counter
node_disk_written_bytes_total{device="sda"} 5
`

// fakes serves an exposition in which counters count seconds, and returns the section of the probe that relays it under this host's name.
func fakes(t testing.TB, text string) string {
	t.Helper()
	text = regexp.MustCompile(`(?m)^([a-z_]+)\{`).ReplaceAllString(text, `${1}{fake="1",`)
	text = regexp.MustCompile(`(?m)^([a-z_]+) `).ReplaceAllString(text, `${1}{fake="1"} `)
	started := time.Now()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		seconds := fmt.Sprintf("_total{$1} %d\n", 1+int(time.Since(started).Seconds()))
		fmt.Fprint(w, regexp.MustCompile(`_total\{(.*)\} .*\n`).ReplaceAllString(text, seconds))
	}))
	t.Cleanup(s.Close)
	hostname, _ := os.Hostname()
	return "  scrape: [{job_name: headend, url: \"" + s.URL + "\", labels: {instance: \"" + hostname + "\"}}]\n"
}

// variable is how a dashboard's variables look in its queries.
var variable = strings.NewReplacer(`"$instance"`, `"%INSTANCE%"`, `"$stream"`, `".+"`, "$__rate_interval", "15s")

// dashboardQuery is what a panel or a variable asks for.
type dashboardQuery struct {
	expr   string
	labels []string // that each series must have, by the legend or the variable
	single bool     // of a panel that shows one number
}

var (
	inLegend = regexp.MustCompile(`\{\{(\w+)\}\}`)
	valuesOf = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
)

// mayLack are labels that some of a family's series do not have: a lone media server's, a probe's without a choice of target.
var mayLack = []string{"server", "target"}

// dashboardQueries returns every query of every dashboard, by dashboard and panel, for one server.
func dashboardQueries(t *testing.T, instance string) map[string][]dashboardQuery {
	t.Helper()
	files, err := filepath.Glob("../packaging/grafana/*.json")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	all := map[string][]dashboardQuery{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Panels []struct {
				Type, Title string
				Targets     []struct{ Expr, LegendFormat string }
			}
			Templating struct {
				List []struct {
					Name, Type string
					Query      any
				}
			}
		}
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		add := func(name, expr string, labels []string, single bool) {
			expr = strings.ReplaceAll(variable.Replace(expr), "%INSTANCE%", instance)
			if strings.Contains(expr, "$") {
				t.Errorf("%s, %s: a variable is left in %s", file, name, expr)
			}
			labels = slices.DeleteFunc(labels, func(l string) bool { return slices.Contains(mayLack, l) })
			at := filepath.Base(file) + ", " + name
			all[at] = append(all[at], dashboardQuery{expr, labels, single})
		}
		for _, p := range d.Panels {
			for _, x := range p.Targets {
				var labels []string
				for _, m := range inLegend.FindAllStringSubmatch(x.LegendFormat, -1) {
					labels = append(labels, m[1])
				}
				add(p.Title, x.Expr, labels, p.Type == "stat")
			}
		}
		for _, v := range d.Templating.List {
			if v.Type == "datasource" {
				continue
			}
			m := valuesOf.FindStringSubmatch(v.Query.(map[string]any)["query"].(string))
			if m == nil {
				t.Fatalf("%s: the variable %s asks for %v", file, v.Name, v.Query)
			}
			add("variable "+v.Name, m[1], []string{m[2]}, false)
		}
	}
	return all
}

// wrong says what of an answer a panel could not show.
func (q dashboardQuery) wrong(all []found) string {
	if len(all) == 0 {
		return "nothing comes of " + q.expr
	}
	if q.single && len(all) != 1 {
		return fmt.Sprintf("%d numbers instead of one come of %s", len(all), q.expr)
	}
	for _, x := range all {
		for _, l := range q.labels {
			if x.Metric[l] == "" && len(x.Metric) > 0 { // without any label it is the vector(0) of a query that finds nothing
				return fmt.Sprintf("no label %s in %v, which comes of %s", l, x.Metric, q.expr)
			}
		}
	}
	return ""
}

// Every query of every dashboard returns data from what the agent has pushed, in Prometheus and in VictoriaMetrics.
func TestDashboardQueries(t *testing.T) {
	prom := startPrometheus(t, "")
	victoria := free(t)
	start(t, "victoria-metrics", "-storageDataPath="+t.TempDir(), "-httpListenAddr="+victoria, "-search.latencyOffset=0s")
	eventually(t, 30*time.Second, func() error { _, err := get("http://" + victoria + "/health"); return err })
	flussonic := startFlussonic(t, "news", "sport", "films")
	flussonic.stop("sport")
	flussonic.idle("films") // which is as it should be
	startAgent(t, config(prom.write())+"- url: http://"+victoria+"/api/v1/write\n  name: victoria\n  flush_interval: 1s\n"+
		"probes:\n  flussonic: [{url: \""+flussonic.URL+"\"}]\n"+fakes(t, devices))
	hostname, _ := os.Hostname()
	queries := dashboardQueries(t, hostname)
	for name, base := range map[string]string{"Prometheus": prom.address, "VictoriaMetrics": victoria} {
		eventually(t, 40*time.Second, func() error {
			var wrong []string
			for at, list := range queries {
				for _, q := range list {
					all, err := query(base, q.expr)
					if err != nil {
						return fmt.Errorf("%s: %w", at, err)
					}
					if what := q.wrong(all); what != "" {
						wrong = append(wrong, at+": "+what)
					}
				}
			}
			if len(wrong) > 0 {
				return fmt.Errorf("in %s\n%s", name, strings.Join(wrong, "\n"))
			}
			return nil
		})
	}
	// What the tables are sorted by.
	for at, want := range map[string]string{"fleet.json, Servers, worst first": "map[]:1", "streams.json, Streams, worst first": "map[news:0 sport:1]:0"} {
		if got := sorted(t, prom.address, queries[at][0].expr); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}

// sorted tells what a table's first column has: by stream, and beside it the value of what is no stream.
func sorted(t *testing.T, base, expr string) string {
	t.Helper()
	all, err := query(base, expr)
	if err != nil {
		t.Fatal(err)
	}
	streams, other := map[string]float64{}, 0.0
	for _, x := range all {
		if stream := x.Metric["stream"]; stream != "" {
			streams[stream] = x.Value.Value
		} else {
			other = x.Value.Value
		}
	}
	return fmt.Sprintf("%v:%v", streams, other)
}

// vendor is what a server without an agent tells of itself.
const vendor = `flussonic_version_info{version="25.11"} 1
flussonic_boot_time_seconds 1.7e9
flussonic_memory_usage 30
flussonic_clients 24
flussonic_streams 2
flussonic_opened_files 3
flussonic_scheduler_load 35
flussonic_cpu_usage 20
flussonic_disk_size{path="/dvr",device="sda1"} 1e12
flussonic_disk_usage{path="/dvr",device="sda1"} 98
flussonic_disk_io_usage{device="sda"} 10
flussonic_net_input_bytes{interface="eth0"} 1000
flussonic_net_output_bytes{interface="eth0"} 1000
flussonic_dvb_card_strength{adapter="0",frontend="0"} 70
flussonic_gpu_dec{gpu="0"} 20
flussonic_gpu_enc{gpu="0"} 40
flussonic_gpu_temp{gpu="0"} 60
`

// A server that is scraped directly is in the dashboards too: the panels of what the vendor has a name for are not empty.
func TestDashboardsOfADirectlyScrapedServer(t *testing.T) {
	started := time.Now()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, vendor)
		for _, stream := range []string{"news", "sport"} {
			bytes := 1000
			if stream == "news" { // the other one gets nothing
				bytes += int(time.Since(started).Milliseconds())
			}
			of := fmt.Sprintf("{stream=%q}", stream)
			fmt.Fprintf(w, "flussonic_stream_bytes_in%s %d\nflussonic_stream_bytes_out%s %d\nflussonic_stream_bitrate%s 3000\n", of, bytes, of, bytes, of)
			fmt.Fprintf(w, "flussonic_stream_start_running_at%s 1.7e12\nflussonic_stream_retry_count%s 0\nflussonic_stream_client_count%s 12\n", of, of, of)
			fmt.Fprintf(w, "flussonic_stream_dvr_info_depth%s 604800\nflussonic_stream_dvr_info_duration%s 604700\n", of, of)
		}
	}))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	prom := startPrometheus(t, "scrape_configs:\n- job_name: flussonic\n  metrics_path: /flussonic/api/metrics\n  scrape_interval: 1s\n  static_configs: [{targets: [\""+address+"\"]}]\n")
	queries := dashboardQueries(t, address)
	eventually(t, 30*time.Second, func() error {
		for at, list := range queries {
			for _, q := range list {
				if strings.HasPrefix(at, "agent.json") || strings.Contains(q.expr, "headend_") && !strings.Contains(q.expr, "flussonic_") || strings.Contains(q.expr, "node_") {
					continue // what only an agent tells
				}
				all, err := query(prom.address, q.expr)
				if err != nil {
					return fmt.Errorf("%s: %w", at, err)
				}
				if what := q.wrong(all); what != "" {
					return fmt.Errorf("%s: %s", at, what)
				}
			}
		}
		return nil
	})
	for at, want := range map[string]string{"fleet.json, Servers, worst first": "map[]:1", "streams.json, Streams, worst first": "map[news:0 sport:1]:0"} {
		if got := sorted(t, prom.address, queries[at][0].expr); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}
