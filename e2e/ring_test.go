package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// runtimeDir is a directory on tmpfs, as systemd gives to a service.
func runtimeDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "headend-agent-e2e-")
	if err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("RUNTIME_DIRECTORY", dir)
	return dir
}

// counted serves a counter that tells how often it was asked, so that the samples themselves show whether one is missing.
func counted(t *testing.T) (url string, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "# TYPE asked_total counter\nasked_total %d\n", asked.Add(1))
	}))
	t.Cleanup(target.Close)
	return target.URL, asked
}

// kill -9 in an outage: every sample that was taken is in Prometheus afterwards, once.
func TestKillInAnOutage(t *testing.T) {
	runtimeDir(t)
	prom := startPrometheus(t, "")
	target, _ := counted(t)
	yaml := strings.Replace(config(prom.write()), "/buffer}", "/buffer, commit_interval: 3s}", 1)
	a := startAgent(t, yaml+"probes:\n  scrape: [{job_name: counted, url: "+target+"/metrics}]\n")
	eventually(t, 15*time.Second, func() error { _, err := one(prom.address, "asked_total"); return err })
	prom.stop()
	for range 3 {
		time.Sleep(6 * time.Second)
		a.kill()
		a = restartAgent(t, a.config)
	}
	time.Sleep(4 * time.Second)
	prom.start(t)
	want := ""
	eventually(t, 30*time.Second, func() error {
		got, err := one(prom.address, "asked_total[5m]")
		if err != nil {
			return err
		}
		seen := map[float64]int{}
		for _, p := range got.Values {
			seen[p.Value]++
		}
		last := got.Values[len(got.Values)-1].Value
		if last < 25 {
			return fmt.Errorf("only %v rounds have arrived", last)
		}
		// A scrape that was under way at a kill was never taken: at most one a kill. All others are there, once.
		missing := 0
		for v := 1.0; v <= last; v++ {
			switch seen[v] {
			case 0:
				missing++
			case 1:
			default:
				return fmt.Errorf("round %v came %d times", v, seen[v])
			}
		}
		if missing > 3 {
			return fmt.Errorf("%d of %v rounds are missing", missing, last)
		}
		want = fmt.Sprint(last)
		return nil
	})
	for _, loss := range []string{"dropped", "refused", "uncertain"} {
		name := `sum(headend_agent_remote_write_samples_` + loss + `_total)`
		if got, err := one(prom.address, name); err != nil || got.Value.Value != 0 {
			t.Errorf("after round %s: %s: %v, %v", want, name, got.Value.Value, err)
		}
	}
}

// past is a target whose first answer holds 25 hours of ten series, 30 s apart; the later ones only what is now.
func past(t *testing.T) (url string, samples int) {
	const step, hours, series = 30 * time.Second, 25, 10
	var first atomic.Bool
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintln(w, "fresh 1")
		if first.Swap(true) {
			return
		}
		now := time.Now()
		for i := hours * int(time.Hour/step); i > 0; i-- {
			for s := range series {
				fmt.Fprintf(w, "old_total{n=\"%d\"} %d %d\n", s, 1_000_000-i, now.Add(-time.Duration(i)*step).UnixMilli())
			}
		}
	}))
	t.Cleanup(target.Close)
	return target.URL, hours * int(time.Hour/step) * series
}

// backlog leaves an agent's buffer with 25 hours of rounds, on disk only, and returns its configuration.
func backlog(t *testing.T, write string) (file string, samples int) {
	target, n := past(t)
	a := startAgent(t, config(write)+"probes:\n  scrape: [{job_name: past, url: "+target+"/metrics}]\n")
	eventually(t, 20*time.Second, func() error {
		text, err := get("http://" + a.address + "/metrics")
		if err == nil && !strings.Contains(text, "fresh") {
			err = fmt.Errorf("the past was not scraped")
		}
		return err
	})
	time.Sleep(2 * time.Second)
	if code := a.stop(); code != 0 {
		t.Fatalf("the agent ends with %d", code)
	}
	return a.config, n
}

func countOld(prom *prometheus) (n float64, err error) {
	got, err := query(prom.address, "sum(count_over_time(old_total[26h]))")
	if err != nil || len(got) != 1 {
		return 0, err
	}
	return got[0].Value.Value, nil
}

// 25 stored hours reach a Prometheus that has a window for late samples, all of them.
func TestDayOfOutage(t *testing.T) {
	runtimeDir(t)
	prom := startPrometheus(t, "storage: {tsdb: {out_of_order_time_window: 30h}}\n")
	prom.stop()
	file, want := backlog(t, prom.write())
	dir := filepath.Join(filepath.Dir(file), "buffer")
	if out, err := exec.Command(agentBinary(t), "buffer", "inspect", dir).CombinedOutput(); err != nil || !strings.Contains(string(out), "25.0") {
		t.Errorf("buffer inspect: %v: %s", err, out)
	}
	prom.start(t)
	restartAgent(t, file)
	eventually(t, time.Minute, func() error {
		n, err := countOld(prom)
		if err == nil && int(n) != want {
			err = fmt.Errorf("%v samples of %d are there", n, want)
		}
		return err
	})
}

// A Prometheus without such a window refuses what is older than an hour. That is counted, and holds nothing up.
func TestDayOfOutageWithoutAWindow(t *testing.T) {
	runtimeDir(t)
	prom := startPrometheus(t, "")
	prom.stop()
	file, want := backlog(t, prom.write())
	prom.start(t)
	a := restartAgent(t, file)
	eventually(t, time.Minute, func() error {
		_, err := one(prom.address, "fresh")
		return err
	})
	eventually(t, time.Minute, func() error {
		lost, err := one(prom.address, `sum(headend_agent_remote_write_samples_refused_total) + sum(headend_agent_remote_write_samples_dropped_total) + sum(headend_agent_remote_write_samples_uncertain_total)`)
		if err != nil {
			return err
		}
		n, err := countOld(prom)
		if err == nil && (lost.Value.Value == 0 || int(n+lost.Value.Value) < want) {
			err = fmt.Errorf("%v samples are there, %v are counted as lost, of %d", n, lost.Value.Value, want)
		}
		return err
	})
	if !strings.Contains(a.log.String(), "out_of_order_time_window") {
		t.Error("the log does not name the setting that would have kept them")
	}
}

// What an agent has left on disk becomes blocks for a Prometheus elsewhere.
func TestExportedDayBecomesBlocks(t *testing.T) {
	runtimeDir(t)
	file, want := backlog(t, free(t)+"/api/v1/write")
	dir := filepath.Join(filepath.Dir(file), "buffer")
	text, blocks := filepath.Join(t.TempDir(), "export.txt"), filepath.Join(t.TempDir(), "blocks")
	out, err := os.Create(text)
	if err != nil {
		t.Fatal(err)
	}
	export := exec.Command(agentBinary(t), "buffer", "export", dir)
	export.Stdout = out
	if err := export.Run(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if out, err := exec.Command("promtool", "tsdb", "create-blocks-from", "openmetrics", text, blocks).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Mkdir(filepath.Join(blocks, "wal"), 0o755); err != nil { // old versions of dump ask for it
		t.Fatal(err)
	}
	dump, err := exec.Command("promtool", "tsdb", "dump", "--match={__name__=\"old_total\"}", blocks).Output()
	if n := strings.Count(string(dump), "\n"); err != nil || n != want {
		t.Errorf("%v: %d samples in the blocks, want %d", err, n, want)
	}
}
