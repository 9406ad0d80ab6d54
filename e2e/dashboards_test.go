package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
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

// notYet are the agent's own that come with its other parts.
const notYet = `
headend_agent_buffer_slots 1
headend_agent_buffer_limit_bytes 64e6
headend_agent_remote_write_clock_offset_seconds{destination="test"} 0
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

// dashboardQueries returns every query of every dashboard, by dashboard and panel.
func dashboardQueries(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("../packaging/grafana/*.json")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	hostname, _ := os.Hostname()
	all := map[string][]string{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, p := range d.Panels {
			for _, x := range p.Targets {
				expr := strings.ReplaceAll(variable.Replace(x.Expr), "%INSTANCE%", hostname)
				if strings.Contains(expr, "$") {
					t.Errorf("%s, %s: a variable is left in %s", file, p.Title, expr)
				}
				at := filepath.Base(file) + ", " + p.Title
				all[at] = append(all[at], expr)
			}
		}
	}
	return all
}

// Every query of every dashboard returns data from what the agent has pushed, in Prometheus and in VictoriaMetrics.
func TestDashboardQueries(t *testing.T) {
	prom := startPrometheus(t, "")
	victoria := free(t)
	start(t, "victoria-metrics", "-storageDataPath="+t.TempDir(), "-httpListenAddr="+victoria, "-search.latencyOffset=0s")
	eventually(t, 30*time.Second, func() error { _, err := get("http://" + victoria + "/health"); return err })
	flussonic := startFlussonic(t, "news", "sport")
	flussonic.stop("sport")
	startAgent(t, config(prom.write())+"- url: http://"+victoria+"/api/v1/write\n  name: victoria\n  flush_interval: 1s\n"+
		"probes:\n  flussonic: [{url: \""+flussonic.URL+"\"}]\n"+fakes(t, devices+notYet))
	queries := dashboardQueries(t)
	for name, base := range map[string]string{"Prometheus": prom.address, "VictoriaMetrics": victoria} {
		eventually(t, 40*time.Second, func() error {
			var empty []string
			for at, list := range queries {
				for _, expr := range list {
					all, err := query(base, expr)
					if err != nil {
						return fmt.Errorf("%s: %w", at, err)
					}
					if len(all) == 0 {
						empty = append(empty, at+": "+expr)
					}
				}
			}
			if len(empty) > 0 {
				return fmt.Errorf("in %s nothing comes of\n%s", name, strings.Join(empty, "\n"))
			}
			return nil
		})
	}
	// What the fleet's table is sorted by.
	for _, expr := range queries["fleet.json, Servers, worst first"][:1] {
		if got, err := one(prom.address, expr); err != nil || got.Value.Value != 1 {
			t.Errorf("streams down: %v, %v, want 1", got.Value.Value, err)
		}
	}
}
