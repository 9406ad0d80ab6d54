package host

import (
	"testing"

	"headend-agent/probe/probetest"
)

func TestCountersCountSinceBoot(t *testing.T) {
	for _, name := range []string{"cpu", "disk", "netclass", "network", "pressure", "schedstat", "softnet", "stat"} {
		m := newMachine(t)
		m.write("proc/stat", "cpu0 1 2 3 4 5 6 7 8 9 10\nbtime 1794300000\n")
		m.write("proc/diskstats", "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n")
		m.write("proc/net/dev", "header\nheader\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
		m.write("proc/net/softnet_stat", "1 2 3 4 5 6 7 8 9\n")
		m.write("proc/pressure/cpu", "some avg10=0.10 avg60=2.00 avg300=3.85 total=15\n")
		m.write("proc/schedstat", "cpu0 1 2 3 4 5 6 7 8 9\n")
		m.write("sys/class/net/eth0/ifindex", "2\n")
		p := probetest.New(t, kind(t, name), probetest.NoConfig, m.env())
		for range 2 {
			if got, want := startMs(t, p), int64(1794300000_000); got != want {
				t.Errorf("%s: counters count since %d, want %d", name, got, want)
			}
		}
	}
}

func TestUnknownBootTimeIsNotTold(t *testing.T) {
	m := newMachine(t)
	m.write("proc/net/dev", "header\nheader\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
	p := probetest.New(t, kind(t, "network"), probetest.NoConfig, m.env())
	if got := startMs(t, p); got != 0 {
		t.Errorf("counters count since %d, want it unknown", got)
	}
	m.write("proc/stat", "btime 1794300000\n")
	if got, want := startMs(t, p), int64(1794300000_000); got != want {
		t.Errorf("counters count since %d, want %d as soon as it is known", got, want)
	}
}
