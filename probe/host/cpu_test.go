package host

import (
	"strings"
	"testing"

	"headend-agent/probe/probetest"
)

func TestCPU(t *testing.T) { golden(t, "cpu") }

func TestCPUUsageIsTheShareSinceTheLastRun(t *testing.T) {
	m := newMachine(t)
	p := probetest.New(t, kind(t, "cpu"), probetest.NoConfig, m.env())
	for _, c := range []struct{ what, total, want string }{
		{"the first run knows no share", "100 10 100 800 50 5 5 5 50 10", ""},
		{"user, nice, system, irq, softirq and steal are busy, idle and iowait are not", "140 20 110 890 60 10 20 25 50 10", "flussonic_cpu_usage 50\n"},
		{"no time passed", "140 20 110 890 60 10 20 25 50 10", ""},
		{"all idle", "140 20 110 990 60 10 20 25 50 10", "flussonic_cpu_usage 0\n"},
		{"all busy", "240 20 110 990 60 10 20 25 50 10", "flussonic_cpu_usage 100\n"},
		{"counters went back", "10 0 0 20 0 0 0 0 0 0", ""},
		{"and on", "20 0 0 30 0 0 0 0 0 0", "flussonic_cpu_usage 50\n"},
	} {
		m.write("proc/stat", "cpu  "+c.total+"\ncpu0 0 0 0 0 0 0 0 0 0 0\n")
		if got := only(t, p, "flussonic_cpu_usage"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, got, c.want)
		}
	}
}

func TestCPUTimesDoNotStepBack(t *testing.T) {
	m := newMachine(t)
	p := probetest.New(t, kind(t, "cpu"), probetest.NoConfig, m.env())
	for _, c := range []struct{ what, times, idle, iowait, user string }{
		{"first", "100 0 0 1000 50", "10", "0.5", "1"},
		{"rounding of the kernel is hidden", "100 0 0 998 49", "10", "0.5", "1"},
		{"and on", "101 0 0 1100 55", "11", "0.55", "1.01"},
		{"back from offline", "1 0 0 100 0", "1", "0", "0.01"},
	} {
		m.write("proc/stat", "cpu0 "+c.times+" 0 0 0 0 0\n")
		got := only(t, p, "node_cpu_seconds_total")
		for mode, want := range map[string]string{"idle": c.idle, "iowait": c.iowait, "user": c.user} {
			if line := `node_cpu_seconds_total{cpu="0",mode="` + mode + `"} ` + want + "\n"; !strings.Contains(got, line) {
				t.Errorf("%s: want %sgot\n%s", c.what, line, got)
			}
		}
	}
}

func TestCPUThatWentOffline(t *testing.T) {
	m := newMachine(t)
	p := probetest.New(t, kind(t, "cpu"), probetest.NoConfig, m.env())
	both := "cpu0 100 0 0 1000 0 0 0 0 0 0\ncpu1 100 0 0 1000 0 0 0 0 0 0\n"
	m.write("proc/stat", both)
	before := only(t, p, "node_cpu_guest_seconds_total")
	m.write("proc/stat", "cpu0 100 0 0 1000 0 0 0 0 0 0\n")
	if got, want := only(t, p, "node_cpu_guest_seconds_total"), "node_cpu_guest_seconds_total{cpu=\"0\",mode=\"nice\"} 0\nnode_cpu_guest_seconds_total{cpu=\"0\",mode=\"user\"} 0\n"; got != want {
		t.Errorf("with one CPU got %q, want %q", got, want)
	}
	m.write("proc/stat", both)
	if got := only(t, p, "node_cpu_guest_seconds_total"); got != before {
		t.Errorf("with both again got %q, want %q", got, before)
	}
}
