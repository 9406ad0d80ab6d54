package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// What the ring on disk is for, on a running system: what waits outlives everything that may befall the agent while the uplink is down.
func TestUnsentSurvivesInVM(t *testing.T) {
	vmScripts(t)
	debs := []string{filepath.Join(packages(t, oldVersion), oldDeb), filepath.Join(packages(t, newVersion), newDeb)}
	disk := filepath.Join(t.TempDir(), "disk.qcow2")
	inVM(t, "TestInsideOutage", disk, debs...)
	inVM(t, "TestInsideReboot", disk, debs...)
}

const outageBegan = "/root/outage-began"

// The uplink is down, and stays so: the agent is killed in three ways and upgraded. The machine then goes down in order.
func TestInsideOutage(t *testing.T) {
	insideVM(t)
	s := &service{T: t, root: t, prom: &prometheus{address: "127.0.0.1:9090"}}
	s.sh("dpkg -i " + oldDeb)
	s.write("/etc/headend-agent/conf.d/push.yml", s.pushConfig())
	s.sh("systemctl restart " + unit)
	s.write(outageBegan, fmt.Sprint(time.Now().Unix()))
	time.Sleep(10 * time.Second)
	for _, harm := range []func(){
		func() { s.sh("kill -KILL " + s.show("MainPID")) },
		func() { s.sh("kill -ABRT " + s.show("MainPID")) }, // as the watchdog does
		func() {
			s.sh("systemctl set-property --runtime " + unit + " MemoryMax=1M MemoryHigh=infinity MemorySwapMax=0")
		},
	} {
		before := s.restarts()
		harm()
		s.startedAnew(t, before)
		s.sh("systemctl set-property --runtime " + unit + " MemoryMax=256M MemoryHigh=192M")
		s.wait("ActiveState", "active")
		time.Sleep(6 * time.Second)
	}
	s.sh("dpkg -i " + newDeb)
	s.version(t, newVersion)
	s.sh("dpkg -i " + oldDeb) // it reads what the newer one has written
	s.version(t, oldVersion)
	s.sh("dpkg -i " + newDeb)
	s.version(t, newVersion)
	s.sh("systemctl disable vm-net.service") // the next boot is one without a network
}

// After the reboot, without a network, the agent is at work before anything else; when the uplink is back, all of it is delivered.
func TestInsideReboot(t *testing.T) {
	insideVM(t)
	text, err := os.ReadFile(outageBegan)
	if err != nil {
		t.Fatal(err)
	}
	var seconds int64
	fmt.Sscan(string(text), &seconds)
	s := &service{T: t, root: t, prom: &prometheus{address: "127.0.0.1:9090", dir: "/root/prometheus"}}
	s.wait("ActiveState", "active")
	if s.restarts() != 0 {
		t.Error("the agent did not start at once after the boot")
	}
	booted := s.said(t, "headend-agent is running")
	s.write(s.prom.dir+"/prometheus.yml", "global: {scrape_interval: 15s}\n")
	s.prom.start(t)
	s.fresh(t)
	outage := time.Now().Unix() - seconds
	rounds, err := one(s.prom.address, fmt.Sprintf("%s[%ds]", ownRuns, outage+10))
	if err != nil {
		t.Fatal(err)
	}
	first := slices.IndexFunc(rounds.Values, func(p point) bool { return p.Value == 0 }) // the agent before the outage may have had some
	if agents, where := lost(rounds.Values[max(first, 0):]); agents < 8 || where != "" {
		t.Errorf("%d rounds of %d agents, want those of all eight: %s", len(rounds.Values), agents, where)
	}
	// Pauses are only where the agent did not run: six new starts of it, and the boot.
	got, err := one(s.prom.address, fmt.Sprintf("node_load1[%ds]", outage))
	if err != nil {
		t.Fatal(err)
	}
	values := got.Values
	if first := values[0].Ms - 1000*seconds; first > 6000 {
		t.Errorf("the first sample is of %d ms after the start of the outage", first)
	}
	var pauses int
	for i := 1; i < len(values); i++ {
		if d := values[i].Ms - values[i-1].Ms; d > 5500 {
			pauses++
			t.Logf("nothing for %d ms after sample %d of %d", d, i, len(values))
			if d > 30_000 && values[i].Ms < booted.UnixMilli() {
				t.Error("that is more than a new start takes")
			}
		}
	}
	if pauses > 7 {
		t.Errorf("%d pauses", pauses)
	}
	before := 0
	for _, v := range values {
		if v.Ms < booted.UnixMilli() {
			before++
		}
	}
	if before < 20 {
		t.Errorf("only %d samples of before the boot", before)
	}
	page, err := get("http://" + pages + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, loss := range []string{`dropped_total{destination="prom",reason="overflow"}`, `refused_total{destination="prom"}`} {
		if n := value(page, "headend_agent_remote_write_samples_"+loss); n != 0 {
			t.Errorf("%s: %v", loss, n)
		}
	}
}
