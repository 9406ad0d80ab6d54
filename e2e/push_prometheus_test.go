package e2e

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// procValue reads a number from a file of /proc: the field after the line's first word, key.
func procValue(t *testing.T, file, key string) float64 {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			v, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no %s in %s", key, file)
	return 0
}

// What Prometheus answers is what /proc says: a counter lies between what it was before and after, a constant is exact.
func TestPrometheusHasWhatProcSays(t *testing.T) {
	prom := startPrometheus(t, "")
	before := map[string]float64{"ctxt": procValue(t, "/proc/stat", "ctxt"), "user": procValue(t, "/proc/stat", "cpu0") / 100}
	startAgent(t, config(prom.write()))
	hostname, _ := os.Hostname()
	labels := fmt.Sprintf(`{job="headend",instance=%q}`, hostname)
	var got found
	eventually(t, 15*time.Second, func() (err error) {
		got, err = one(prom.address, "node_context_switches_total"+labels)
		return err
	})
	if after := procValue(t, "/proc/stat", "ctxt"); got.Value.Value < before["ctxt"] || got.Value.Value > after {
		t.Errorf("context switches: Prometheus has %v, /proc/stat said %v before and %v after", got.Value.Value, before["ctxt"], after)
	}
	user, err := one(prom.address, `node_cpu_seconds_total{cpu="0",mode="user"}`)
	if err != nil {
		t.Fatal(err)
	}
	if after := procValue(t, "/proc/stat", "cpu0") / 100; user.Value.Value < before["user"]-0.011 || user.Value.Value > after+0.011 {
		t.Errorf("cpu0 user seconds: Prometheus has %v, /proc/stat said %v before and %v after", user.Value.Value, before["user"], after)
	}
	for name, want := range map[string]float64{
		"node_boot_time_seconds":     procValue(t, "/proc/stat", "btime"),
		"node_memory_MemTotal_bytes": procValue(t, "/proc/meminfo", "MemTotal:") * 1024,
		"node_filefd_maximum":        firstField(t, "/proc/sys/fs/file-max"),
	} {
		if got, err := one(prom.address, name); err != nil || got.Value.Value != want {
			t.Errorf("%s: %v, %v; /proc says %v", name, got.Value.Value, err, want)
		}
	}
	// The vendor's rows are of the same readings. A rate needs two runs.
	eventually(t, 10*time.Second, func() error {
		usage, err := one(prom.address, `flussonic_memory_usage - 100*(1 - node_memory_MemAvailable_bytes/node_memory_MemTotal_bytes)`)
		if err != nil {
			return err
		}
		if math.Abs(usage.Value.Value) > 0.01 {
			return fmt.Errorf("flussonic_memory_usage is %v off what node_memory_* says", usage.Value.Value)
		}
		cpu, err := one(prom.address, "flussonic_cpu_usage")
		if err == nil && (cpu.Value.Value < 0 || cpu.Value.Value > 100) {
			return fmt.Errorf("flussonic_cpu_usage is %v", cpu.Value.Value)
		}
		return err
	})
}

func firstField(t *testing.T, file string) float64 {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v, err := strconv.ParseFloat(strings.Fields(string(b))[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// An outage costs no sample and repeats none.
func TestOutage(t *testing.T) {
	prom := startPrometheus(t, "")
	startAgent(t, config(prom.write()))
	eventually(t, 15*time.Second, func() error { _, err := one(prom.address, "node_load1"); return err })
	prom.stop()
	time.Sleep(8 * time.Second)
	prom.start(t)
	down := time.Now()
	eventually(t, 20*time.Second, func() error { // what is sent after the end of the outage
		got, err := one(prom.address, "node_load1")
		if err == nil && got.Value.Ms < down.Add(2*time.Second).UnixMilli() {
			err = fmt.Errorf("the newest sample is still of %v", got.Value.Ms)
		}
		return err
	})
	got, err := one(prom.address, ownRuns+"[2m]")
	if err != nil {
		t.Fatal(err)
	}
	if agents, where := lost(got.Values); len(got.Values) < 10 || agents != 1 || where != "" {
		t.Errorf("%d rounds of %d agents: %s", len(got.Values), agents, where)
	}
	for probe, series := range map[string]string{"loadavg": "node_load1", "memory": "node_memory_MemFree_bytes", "cpu": `node_cpu_seconds_total{cpu="0",mode="idle"}`} {
		runs, err := one(prom.address, `headend_agent_probe_runs_total{probe="`+probe+`"}`)
		if err != nil {
			t.Fatal(err)
		}
		want := max(10, int(runs.Value.Value))
		eventually(t, 5*time.Second, func() error { // the last of these runs may be a request behind
			got, err := one(prom.address, series+"[2m]")
			if err == nil && len(got.Values) < want {
				err = fmt.Errorf("%s: %d samples, want %d", series, len(got.Values), want)
			}
			return err
		})
	}
	for _, loss := range []string{"dropped", "refused", "uncertain"} {
		name := `sum(headend_agent_remote_write_samples_` + loss + `_total)`
		if got, err := one(prom.address, name); err != nil || got.Value.Value != 0 {
			t.Errorf("%s: %v, %v", name, got.Value.Value, err)
		}
	}
}

// VictoriaMetrics takes the same requests.
func TestVictoriaMetrics(t *testing.T) {
	address := free(t)
	start(t, "victoria-metrics", "-storageDataPath="+t.TempDir(), "-httpListenAddr="+address, "-search.latencyOffset=0s")
	eventually(t, 30*time.Second, func() error { _, err := get("http://" + address + "/health"); return err })
	startAgent(t, config(address+"/api/v1/write"))
	want := procValue(t, "/proc/meminfo", "MemTotal:") * 1024
	eventually(t, 30*time.Second, func() error {
		got, err := one(address, `node_memory_MemTotal_bytes{job="headend"}`)
		if err == nil && got.Value.Value != want {
			err = fmt.Errorf("%v, want %v", got.Value.Value, want)
		}
		return err
	})
}
