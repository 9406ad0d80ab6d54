package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// prometheus is Debian's, as a remote-write receiver.
type prometheus struct {
	*process
	address, dir string
}

func startPrometheus(t testing.TB, config string) *prometheus {
	t.Helper()
	p := &prometheus{address: free(t), dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(p.dir, "prometheus.yml"), []byte("global: {scrape_interval: 15s, evaluation_interval: 1s}\n"+config), 0o644); err != nil {
		t.Fatal(err)
	}
	p.start(t)
	return p
}

// start runs it on its directory, for the first time or again.
func (p *prometheus) start(t testing.TB) {
	t.Helper()
	p.process = start(t, "prometheus", "--config.file="+filepath.Join(p.dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(p.dir, "data"),
		"--web.listen-address="+p.address, "--web.enable-remote-write-receiver", "--query.lookback-delta=10s")
	eventually(t, 30*time.Second, func() error { _, err := get("http://" + p.address + "/-/ready"); return err })
}

func (p *prometheus) write() string { return p.address + "/api/v1/write" }

// found is a series of a PromQL answer.
type found struct {
	Metric map[string]string
	Value  point   // of an instant query
	Values []point // of a range selector
}

type point struct {
	Ms    int64
	Value float64
}

func (p *point) UnmarshalJSON(b []byte) error {
	var pair [2]any
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	p.Ms = int64(pair[0].(float64)*1000 + 0.5)
	var err error
	p.Value, err = strconv.ParseFloat(pair[1].(string), 64)
	return err
}

// query asks base, a Prometheus API, now.
func query(base, promql string) ([]found, error) {
	text, err := get("http://" + base + "/api/v1/query?query=" + url.QueryEscape(promql))
	if err != nil {
		return nil, err
	}
	var answer struct{ Data struct{ Result []found } }
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return answer.Data.Result, nil
}

// one asks for exactly one series.
func one(base, promql string) (found, error) {
	all, err := query(base, promql)
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("%s: %d series", promql, len(all))
	}
	if err != nil {
		return found{}, err
	}
	return all[0], nil
}

// ownRuns counts an agent's rounds about itself, and each of them says how many were before it. Where every round is delivered once,
// its points are 0, 1, 2 and so on. Their times would tell less: on a loaded machine a round begins late, or not at all.
const ownRuns = `headend_agent_probe_runs_total{probe="agent"}`

// lost says of how many agents, one after the other, the points of ownRuns are, and where they do not follow each other.
func lost(points []point) (agents int, where string) {
	var all []string
	for i, p := range points {
		switch {
		case p.Value == 0:
			agents++
		case i == 0:
			all = append(all, fmt.Sprintf("the first round is number %v", p.Value))
		case p.Value != points[i-1].Value+1:
			all = append(all, fmt.Sprintf("round %v comes after round %v", p.Value, points[i-1].Value))
		}
	}
	return agents, strings.Join(all, ", ")
}
