package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// lines are as netem has them. They go through the loopback device, so each way has half of the delay, and both share
// the rate. A queue is no longer than that of a cheap modem.
var lines = map[string]string{
	"lossy": "rate 319kbit loss 5% delay 150ms limit 50",
	"8kbit": "rate 8kbit delay 50ms limit 8",
}

// After an outage, a backlog that would take longer than a request may goes through a slow line, or a bad one.
func TestSlowLines(t *testing.T) {
	t.Parallel()
	needRoot(t)
	if err := exec.Command("unshare", strings.Fields("-n tc qdisc add dev lo root netem delay 1ms")...).Run(); err != nil {
		if os.Getenv("INSIDE_VM") != "" {
			t.Fatal(err)
		}
		inVM(t, "TestSlowLines", "", agentToo(t)) // its kernel has netem
		return
	}
	for name := range lines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inNamespace(t, "TestInsideSlowLine", "LINE="+name)
		})
	}
}

func TestInsideSlowLine(t *testing.T) {
	insideNamespace(t)
	l := startLedger(t, func(l *ledger) { l.lossy = true })
	const kept = "node_load1|node_memory_MemFree_bytes|wide|" +
		"headend_agent_probe_runs_(failed_)?total|headend_agent_remote_write_samples_.+"
	yaml := hurried(l.address, "remote_timeout: 10s",
		"write_relabel_configs: [{source_labels: [__name__], action: keep, regex: '"+kept+"'}]")
	yaml = strings.Replace(yaml, "flush_interval: 1s", "flush_interval: 10s", 1)
	dir := t.TempDir() // the line's device is that of a target, too: a file is none
	startAgent(t, yaml+"  textfile: {directories: ["+dir+"], interval: 2s}\n")
	l.has(t, 1)
	l.stand(down)
	for range 20 {
		writeWide(t, dir, 300)
		time.Sleep(time.Second)
	}
	if err := os.Remove(dir + "/wide.prom"); err != nil {
		t.Fatal(err)
	}
	must(t, nil, "ip", "link", "set", "lo", "mtu", "1500", "gso_max_segs", "1")
	must(t, nil, "tc", strings.Fields("qdisc add dev lo root netem "+lines[os.Getenv("LINE")])...)
	l.stand(nil)
	l.fresh(t, 8*time.Minute)
	l.everyRoundOnce(t, 1)
}

// writeWide writes so many series whose values do not compress.
func writeWide(t *testing.T, dir string, series int) {
	t.Helper()
	var b strings.Builder
	for i := range series {
		fmt.Fprintf(&b, "wide{n=\"%d\"} %v\n", i, rand.Float64())
	}
	if err := os.WriteFile(dir+"/new", []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"/new", dir+"/wide.prom"); err != nil {
		t.Fatal(err)
	}
}
