package dvb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/probe"
	"headend-agent/probe/dvb/frontend"
	"headend-agent/probe/probetest"
)

// reloaded makes the probe that comes after p when the configuration is read again.
func (m *machine) reloaded(p *dvb) *dvb {
	m.t.Helper()
	next := m.probe(probetest.NoConfig)
	var heir probe.Heir = next
	heir.Inherit(p)
	return next
}

// A reload moves no port, sets no count back, and forgets nobody's name.
func TestReload(t *testing.T) {
	m := newMachine(t)
	for a := range 3 {
		m.plug(a, 0, card("0000:08:00.0"), "", terrestrial())
	}
	leave := m.tune(1, 0)
	broken := m.fakes["adapter1/frontend0"]
	p := m.probe(probetest.NoConfig)
	m.collect(p)
	broken.stats[frontend.StatSignalStrength] = stat(1, 99_000)
	m.collect(p)
	leave()
	m.unplug(0, 0)
	before := m.collect(p)
	for _, want := range []string{
		`frontend_info{adapter="1",frontend="0",name="Silicon Labs Si2168",path="pci-0000:08:00.0",port="1",`,
		`frontend_in_use{adapter="2",frontend="0",path="pci-0000:08:00.0",port="2"} 0`, `port="1",reason="implausible"} 1`,
	} {
		if !strings.Contains(before, want) {
			t.Errorf("no %s in\n%s", want, before)
		}
	}
	next := m.reloaded(m.reloaded(p)) // one in between has never run
	if after := m.collect(next); after != before {
		t.Errorf("before the reload:\n%s\nafter:\n%s", before, after)
	}
}

// A frontend that hangs is not asked again by the probe that comes after.
func TestHangingOverReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		f := terrestrial()
		f.hang = make(chan struct{})
		m.plug(0, 0, card("0000:08:00.0"), "", f)
		m.tune(0, 0)
		p := m.probe(probetest.NoConfig)
		m.round(p, 9*time.Second)
		p = m.reloaded(p)
		for range 2 {
			if got := m.round(p, 9*time.Second); m.opened("adapter0/frontend0") != 1 || strings.Contains(got, "locked{") {
				t.Errorf("opened %d times:\n%s", m.opened("adapter0/frontend0"), got)
			}
		}
		close(f.hang)
		synctest.Wait()
		if got := m.round(p, 9*time.Second); !strings.Contains(got, "locked{") || !strings.Contains(got, `reason="timeout"} 3`) {
			t.Errorf("does not recover, or has forgotten what was:\n%s", got)
		}
	})
}

// A reading that the reload has cut short is waited for, and not called late. Where it hangs it is not doubled.
func TestReloadWhileReading(t *testing.T) {
	for _, c := range []struct {
		takes         time.Duration
		opened, lates int // after two rounds
	}{{3 * time.Second, 3, 0}, {time.Hour, 1, 2}} {
		synctest.Test(t, func(t *testing.T) {
			m := newMachine(t)
			f := terrestrial()
			takes := c.takes
			f.asked = func() { time.Sleep(takes); takes = 0 }
			m.plug(0, 0, card("0000:08:00.0"), "", f)
			m.tune(0, 0)
			p := m.probe(probetest.NoConfig)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if err := p.Collect(ctx, metric.NewSet(metric.NewTable(), 1000)); err != nil {
				t.Fatal(err)
			}
			held := m.link(filepath.Join(m.dir, "dev/dvb/adapter0/frontend0"), "proc/self/fd/7")
			p = m.reloaded(p)
			start := time.Now()
			m.round(p, 9*time.Second)
			if c.lates == 0 && time.Since(start) != 2*time.Second {
				t.Errorf("waited %s for the rest of the reading", time.Since(start))
			}
			got := m.round(p, 9*time.Second)
			if n := m.opened("adapter0/frontend0"); n != c.opened || !strings.Contains(got, fmt.Sprintf(`reason="timeout"} %d`, c.lates)) ||
				strings.Contains(got, "locked{") != (c.lates == 0) {
				t.Errorf("%s: opened %d times:\n%s", c.takes, n, got)
			}
			time.Sleep(c.takes)
			if err := os.Remove(held); err != nil {
				t.Fatal(err)
			}
			if got := m.round(p, 9*time.Second); !strings.Contains(got, "locked{") || m.opened("adapter0/frontend0") != c.opened+1 {
				t.Errorf("%s: does not recover:\n%s", c.takes, got)
			}
		})
	}
}

// After a reload that had switched the probe off, a call of before may still hang in the kernel; its open file shows it.
func TestHeldByAProbeBefore(t *testing.T) {
	m := newMachine(t)
	m.plug(0, 0, card("0000:08:00.0"), "", terrestrial())
	m.tune(0, 0)
	m.link(filepath.Join(m.dir, "dev/dvb/adapter0/frontend0"), "proc/self/fd/7")
	p := m.probe(probetest.NoConfig)
	if got := m.collect(p); m.opened("adapter0/frontend0") != 0 || !strings.Contains(got, `reason="timeout"} 1`) {
		t.Errorf("opened %d times:\n%s", m.opened("adapter0/frontend0"), got)
	}
}
