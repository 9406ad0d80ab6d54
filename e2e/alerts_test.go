package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const alertRules = "../packaging/alerts/*.yml"

// The rules are right, and each fires in its test, by Prometheus' own tool; VictoriaMetrics' vmalert reads them too.
func TestAlertRules(t *testing.T) {
	for _, step := range []struct{ what, pattern string }{{"check", alertRules}, {"test", "../packaging/alerts/tests/*.yml"}} {
		files, err := filepath.Glob(step.pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", step.pattern, err)
		}
		out, err := exec.Command("promtool", append([]string{step.what, "rules"}, files...)...).CombinedOutput()
		if err != nil {
			t.Errorf("promtool %s rules: %v\n%s", step.what, err, out)
		}
	}
	if out, err := exec.Command("vmalert", "-dryRun", "-rule="+alertRules).CombinedOutput(); err != nil {
		t.Errorf("vmalert: %v\n%s", err, out)
	}
}

// alerts that are about a stream or a media server, pending or firing, as name/stream; those of the test's machine are its own matter.
func alerts(base string) ([]string, error) {
	text, err := get("http://" + base + "/api/v1/alerts")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Alerts []struct{ Labels, Annotations map[string]string }
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return nil, err
	}
	var all []string
	for _, a := range answer.Data.Alerts {
		for _, text := range a.Annotations {
			if text == "" || strings.Contains(text, "<") {
				return nil, fmt.Errorf("an annotation of %v: %q", a.Labels, text)
			}
		}
		if a.Labels["stream"] != "" || a.Labels["server"] != "" {
			all = append(all, a.Labels["alertname"]+"/"+a.Labels["stream"])
		}
	}
	slices.Sort(all)
	return all, nil
}

// evaluated tells whether the rules about streams have been evaluated since a time.
func evaluated(base string, since time.Time) error {
	text, err := get("http://" + base + "/api/v1/rules")
	if err != nil {
		return err
	}
	var answer struct {
		Data struct {
			Groups []struct {
				Name           string
				LastEvaluation time.Time
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return err
	}
	missing := []string{"headend-recording-fast", "headend-streams"}
	for _, g := range answer.Data.Groups {
		if g.LastEvaluation.After(since) {
			missing = slices.DeleteFunc(missing, func(name string) bool { return name == g.Name })
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%v: not evaluated since %s", missing, since)
	}
	return nil
}

// What an agent sends of a healthy server makes no alert, and a stream that stops makes one: names and labels are as the rules expect them.
func TestAlertsOnWhatAnAgentSends(t *testing.T) {
	rules, err := filepath.Abs(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	prom := startPrometheus(t, "rule_files: [\""+rules+"\"]\n")
	names := make([]string, 12)
	for i := range names {
		names[i] = fmt.Sprint("channel", i)
	}
	flussonic := startFlussonic(t, append(names, "idle")...)
	flussonic.idle("idle")
	startAgent(t, config(prom.write())+"probes:\n  flussonic: [{url: \""+flussonic.URL+"\"}]\n")
	since := func(query string) {
		t.Helper()
		eventually(t, 30*time.Second, func() error { _, err := one(prom.address, query); return err })
		for range 2 { // alerts on recorded series see them one evaluation later
			now := time.Now()
			eventually(t, 30*time.Second, func() error { return evaluated(prom.address, now) })
		}
	}
	since(`rate(flussonic_stream_bytes_in{stream="idle"}[2m]) == 0`)
	if got, err := alerts(prom.address); err != nil || len(got) != 0 {
		t.Errorf("of a healthy server: %v, %v", got, err)
	}
	flussonic.stop("channel7")
	since(`headend_stream_alive{stream="channel7"} == 0`)
	if got, err := alerts(prom.address); err != nil || !slices.Equal(got, []string{"HeadendStreamDown/channel7"}) {
		t.Errorf("of a stream that stopped: %v, %v", got, err)
	}
}
