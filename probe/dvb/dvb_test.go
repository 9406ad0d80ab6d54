package dvb

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"headend-agent/internal/metric"
	"headend-agent/probe/dvb/frontend"
	"headend-agent/probe/probetest"
)

// rack is a machine with two cards, a USB stick, and frontends in every state.
func rack(t testing.TB) *machine {
	m := newMachine(t)
	satellite := &fake{
		info: frontend.Info{Name: "TurboSight TBS 6908"}, systems: []byte{5, 6}, status: lockedStatus, system: 6, tuned: 1500000,
		stats: map[frontend.Command][]byte{ // one reading on two scales, and no others
			frontend.StatSignalStrength: stat(1, -38000, 2, 40632), frontend.StatCNR: stat(1, 12100, 2, 39321),
		},
		strength: v3{value: 40632}, ber: v3{value: 17}, uncorrected: v3{errno: 524},
	}
	old := &fake{
		info: frontend.Info{Name: "Philips TDA10021"}, systems: []byte{1}, status: lockedStatus, old: true, system: 1, tuned: 346000000,
		strength: v3{value: 65535}, snr: v3{value: 250}, ber: v3{value: 0}, uncorrected: v3{value: 3},
	}
	dark := terrestrial()
	dark.status, dark.strength = frontend.HasSignal|frontend.TimedOut, v3{value: 0}
	m.plug(0, 0, card("0000:08:00.0"), "TBSECP3", satellite)
	m.plug(1, 0, card("0000:08:00.0"), "TBSECP3", &fake{openErr: fmt.Errorf("an idle frontend was opened")})
	m.plug(2, 0, card("0000:09:00.0"), "cx23885", terrestrial())
	m.plug(2, 1, card("0000:09:00.0"), "cx23885", &fake{openErr: fmt.Errorf("an idle sibling was opened")})
	m.plug(3, 0, parents{{"pci0000:00", ""}, {"0000:00:14.0", "pci"}, {"usb1", "usb"}, {"1-3", "usb"}, {"1-3.2", "usb"}}, "dvb_usb_rtl28xxu", dark)
	m.plug(10, 0, parents{{"platform", ""}, {"soc:tuner", "platform"}, {"i2c-0", "i2c"}}, "", old)
	for _, a := range []int{0, 2, 3, 10} {
		m.tune(a, 0)
	}
	return m
}

func TestGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where reading takes no time
		m := rack(t)
		p := m.probe(func(c any) error {
			c.(*Config).Names = map[string]string{"adapter0.frontend0": "Astra 19.2E"}
			return nil
		})
		got := m.collect(p)
		probetest.Golden(t, "testdata/golden.txt", got)
		if again := m.collect(p); again != got {
			t.Errorf("a second round says something else:\n%s", again)
		}
		if n := m.fakes["adapter2/frontend0"].infos; n != 1 {
			t.Errorf("asked %d times what it is", n)
		}
		for _, idle := range []string{"adapter1/frontend0", "adapter2/frontend1"} {
			if m.opened(idle) != 0 {
				t.Errorf("%s was opened, though nobody uses it", idle)
			}
		}
		if f := m.fakes["adapter2/frontend0"]; f.legacy != 0 {
			t.Errorf("version 3 was asked %d times for what there are statistics of", f.legacy)
		}
		want := []string{
			"adapter1.frontend0: " + notInUse, "adapter2.frontend1: " + notInUse, "adapter3.frontend0: " + noLock,
		}
		if got := p.Absent(); !slices.Equal(got, want) {
			t.Errorf("absent is %q", got)
		}
	})
}

func TestNothingThere(t *testing.T) {
	m := newMachine(t)
	p := m.probe(probetest.NoConfig)
	if got := m.collect(p); !strings.HasSuffix(got, "headend_dvb_adapters 0\n") {
		t.Errorf("got %s", got)
	}
	if a := p.Absent(); len(a) != 1 || !strings.Contains(a[0], "no driver") {
		t.Errorf("absent is %q", a)
	}
}

// Where kernel threads are hidden nobody can know what is in use: nothing is opened, and nothing is said to be idle.
func TestHiddenThreads(t *testing.T) {
	m := rack(t)
	m.comm("2", "bash") // a container's own second process
	for n := range 4 {
		m.comm(fmt.Sprint(m.next-n), "vlc") // and no tuning threads
	}
	p := m.probe(probetest.NoConfig)
	got := m.collect(p)
	if strings.Contains(got, "_in_use{") || strings.Contains(got, "_up{") || len(m.opens) != 0 {
		t.Errorf("opened %v and said\n%s", m.opens, got)
	}
	if a := p.Absent(); len(a) != 6 || !strings.Contains(a[0], "hidden") {
		t.Errorf("absent is %q", a)
	}
}

// What an error means is counted, said, and logged once.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name, reason, absent string
		fake                 func(*fake)
	}{
		{"no group", "denied", "group video", func(f *fake) { f.openErr = unix.EACCES }},
		{"sandbox", "denied", "DeviceAllow", func(f *fake) { f.openErr = unix.EPERM }},
		{"no node", "gone", "gone", func(f *fake) { f.openErr = unix.ENOENT }},
		{"unplugged", "gone", "gone", func(f *fake) { f.err = unix.ENODEV }},
		{"exclusive sibling", "busy", "exclude each other", func(f *fake) { f.openErr = unix.EBUSY }},
		{"bus error", "io", "does not answer its driver", func(f *fake) { f.err = unix.EREMOTEIO }},
		{"error of version 3", "io", "does not answer its driver", func(f *fake) { f.strength.errno = unix.EIO }},
		{"too many files", "other", "too many open files", func(f *fake) { f.openErr = unix.EMFILE }},
		{"asleep", "", "asleep", func(f *fake) { f.err = unix.EAGAIN }},
		{"no status", "", "asleep", func(f *fake) { f.err = unix.Errno(524) }},
		{"no version 3", "", "", func(f *fake) { f.strength.errno = 524 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			f := terrestrial()
			c.fake(f)
			m.plug(0, 0, card("0000:08:00.0"), "x", f)
			m.tune(0, 0)
			m.plug(1, 0, card("0000:09:00.0"), "x", terrestrial())
			m.tune(1, 0)
			var log strings.Builder
			p := m.probe(probetest.NoConfig)
			p.env.Log = slog.New(slog.NewTextHandler(&log, nil))
			m.collect(p)
			got := m.collect(p)
			for _, r := range reasons {
				want := 0
				if r == c.reason {
					want = 2
				}
				if line := fmt.Sprintf(`errors_total{adapter="0",frontend="0",path="pci-0000:08:00.0",port="0",reason=%q} %d`, r, want); !strings.Contains(got, line+"\n") {
					t.Errorf("no %s in\n%s", line, got)
				}
			}
			up := fmt.Sprintf(`frontend_up{adapter="0",frontend="0",path="pci-0000:08:00.0",port="0"} %d`, int(flag(c.reason == "")))
			if !strings.Contains(got, up+"\n") {
				t.Errorf("no %s in\n%s", up, got)
			}
			if !strings.Contains(got, `frontend_cnr_decibels{adapter="1"`) {
				t.Error("another frontend is silent too")
			}
			if a := strings.Join(p.Absent(), "\n"); c.absent == "" && a != "" || !strings.Contains(a, c.absent) {
				t.Errorf("absent is %q", a)
			}
			if n := strings.Count(log.String(), "cannot be read"); n != int(flag(c.reason != "")) {
				t.Errorf("logged %d times:\n%s", n, log.String())
			}
			*f = *terrestrial()
			if got := m.collect(p); !strings.Contains(got, `frontend_cnr_decibels{adapter="0"`) || len(p.Absent()) != 0 {
				t.Errorf("does not recover:\n%s", got)
			}
			if n := strings.Count(log.String(), "can be read again"); n != int(flag(c.reason != "")) {
				t.Errorf("recovery logged %d times:\n%s", n, log.String())
			}
		})
	}
}

func TestImplausible(t *testing.T) {
	for _, c := range []struct {
		stat frontend.Command
		raw  []byte
		ok   bool
	}{
		{frontend.StatSignalStrength, stat(1, -150000), true}, {frontend.StatSignalStrength, stat(1, -150001), false},
		{frontend.StatSignalStrength, stat(1, 30000), true}, {frontend.StatSignalStrength, stat(1, 30001), false},
		{frontend.StatSignalStrength, stat(1, -4294967000), false}, {frontend.StatSignalStrength, stat(2, 65535), true},
		{frontend.StatSignalStrength, stat(2, 65536), false}, {frontend.StatCNR, stat(1, -20000), true},
		{frontend.StatCNR, stat(1, 100001), false}, {frontend.StatCNR, stat(2, -1), false},
	} {
		m := newMachine(t)
		f := terrestrial()
		f.stats = map[frontend.Command][]byte{c.stat: c.raw}
		m.plug(0, 0, card("0000:08:00.0"), "", f)
		m.tune(0, 0)
		got := m.collect(m.probe(probetest.NoConfig))
		emitted := strings.Contains(got, "_dbm{") || strings.Contains(got, "_decibels{") || strings.Contains(got, "_ratio{")
		counted := strings.Contains(got, `reason="implausible"} 1`)
		if emitted != c.ok || counted == c.ok {
			t.Errorf("%d of %x: emitted %v, counted %v", c.stat, c.raw, emitted, counted)
		}
	}
}

// round runs p once, as the runner does, with a limit.
func (m *machine) round(p *dvb, limit time.Duration) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	s := metric.NewSet(metric.NewTable(), 1000)
	if err := p.Collect(ctx, s); err != nil {
		m.t.Fatal(err)
	}
	if ctx.Err() != nil {
		m.t.Error("the round took longer than it may")
	}
	var text metric.Text
	s.End(metric.Round{}, text.Add)
	var b strings.Builder
	text.WriteTo(&b)
	return b.String()
}

// A frontend that hangs costs its own series, and is not asked again before its call has returned.
func TestHangingFrontend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		stuck := terrestrial()
		stuck.hang = make(chan struct{})
		m.plug(0, 0, card("0000:08:00.0"), "", stuck)
		m.plug(1, 0, card("0000:08:00.0"), "", terrestrial())
		m.tune(0, 0)
		m.tune(1, 0)
		p := m.probe(probetest.NoConfig)
		for n := range 5 {
			start := time.Now()
			got := m.round(p, 9*time.Second)
			if took := time.Since(start); n > 0 && took != 0 {
				t.Errorf("round %d waited %s for what is known to hang", n, took)
			}
			if strings.Contains(got, `locked{adapter="0"`) || !strings.Contains(got, `locked{adapter="1"`) {
				t.Errorf("round %d:\n%s", n, got)
			}
			if want := fmt.Sprintf(`port="0",reason="timeout"} %d`, n+1); !strings.Contains(got, want) {
				t.Errorf("no %s in\n%s", want, got)
			}
		}
		if n := m.opened("adapter0/frontend0"); n != 1 {
			t.Errorf("opened %d times while its call hung", n)
		}
		// Another device in its place has to wait, too.
		m.unplug(0, 0)
		m.round(p, 9*time.Second)
		fresh := terrestrial()
		m.plug(0, 0, card("0000:07:00.0"), "", fresh)
		if got := m.round(p, 9*time.Second); strings.Contains(got, `locked{adapter="0"`) || m.opened("adapter0/frontend0") != 1 {
			t.Errorf("a second call on top of one that hangs:\n%s", got)
		}
		close(stuck.hang)
		synctest.Wait()
		if got := m.round(p, 9*time.Second); !strings.Contains(got, `locked{adapter="0",frontend="0",path="pci-0000:07:00.0",port="0"} 1`) {
			t.Errorf("does not recover:\n%s", got)
		}
		if stuck.infos != 0 {
			t.Error("the call that had hung went on asking")
		}
	})
}

// An agent that stops while a frontend hangs has nothing to say against it.
func TestStopWhileHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		f := terrestrial()
		f.hang = make(chan struct{})
		m.plug(0, 0, card("0000:08:00.0"), "", f)
		m.tune(0, 0)
		var log strings.Builder
		p := m.probe(probetest.NoConfig)
		p.env.Log = slog.New(slog.NewTextHandler(&log, nil))
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		if err := p.Collect(ctx, metric.NewSet(metric.NewTable(), 1000)); err != nil || log.Len() != 0 || time.Since(start) != time.Second {
			t.Errorf("%v after %s, logged %q", err, time.Since(start), log.String())
		}
		close(f.hang)
	})
}

// A slow frontend gives what is essential; the rest is left out, so that its tuning thread waits less.
func TestSlowFrontend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		f := terrestrial()
		f.asked = func() { time.Sleep(5 * time.Second) }
		m.plug(0, 0, card("0000:08:00.0"), "", f)
		m.tune(0, 0)
		got := m.round(m.probe(probetest.NoConfig), 9*time.Second)
		for _, want := range []string{"cnr_decibels{", `read_duration_seconds{adapter="0",frontend="0",path="pci-0000:08:00.0",port="0"} 5`} {
			if !strings.Contains(got, want) {
				t.Errorf("no %s in\n%s", want, got)
			}
		}
		if f.infos != 0 || f.legacy != 0 || strings.Contains(got, "flussonic") {
			t.Error("asked for more")
		}
	})
}

// Statistics outlive their tuner in many drivers: what was read when it left is not believed.
func TestTunerLeavesMeanwhile(t *testing.T) {
	m := newMachine(t)
	f := terrestrial()
	f.asked = m.tune(0, 0)
	m.plug(0, 0, card("0000:08:00.0"), "", f)
	got := m.collect(m.probe(probetest.NoConfig))
	if !strings.Contains(got, `in_use{adapter="0",frontend="0",path="pci-0000:08:00.0",port="0"} 0`) || strings.Contains(got, "locked") {
		t.Errorf("got\n%s", got)
	}
}

// A tuner that has moved on may want a sibling, which it does not get while this frontend is open.
func TestTunerLeavesSlowFrontend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		f := terrestrial()
		leave := m.tune(0, 0)
		f.asked = func() { time.Sleep(3 * time.Second); leave() }
		m.plug(0, 0, card("0000:08:00.0"), "", f)
		start := time.Now()
		got := m.round(m.probe(probetest.NoConfig), 9*time.Second)
		if took := time.Since(start); f.properties+f.legacy+f.infos != 0 || took != 3*time.Second {
			t.Errorf("kept it open for more calls, %s in all", took)
		}
		if strings.Contains(got, "_up{") || strings.Contains(got, `reason="other"} 1`) {
			t.Errorf("got\n%s", got)
		}
	})
}

// One that has left between the list of threads and the reading may be opening the sibling by now.
func TestTunerLeavesBeforeReading(t *testing.T) {
	m := newMachine(t)
	m.plug(0, 0, card("0000:08:00.0"), "", terrestrial())
	done := make(chan reading, 1)
	session{open: m.open, path: filepath.Join(m.dir, "dev/dvb/adapter0/frontend0"), tuned: func() bool { return false }}.run(t.Context(), done)
	if r := <-done; !r.left || m.opened("adapter0/frontend0") != 0 {
		t.Errorf("%+v after %d opens", r, m.opened("adapter0/frontend0"))
	}
}

// A layer's value is not passed off as that of the whole.
func TestLayers(t *testing.T) {
	for _, c := range []struct {
		system            uint32
		cnr, blocks       []byte
		hasCNR, hasBlocks bool
	}{
		{8, stat(1, 20000, 1, 19000), stat(3, 5, 3, 2), true, true},
		{8, stat(0, 0, 1, 19000), stat(0, 0, 3, 2), false, false},
		{5, stat(0, 0, 1, 19000), stat(0, 0, 3, 2), true, false}, // one reading on several scales
	} {
		m := newMachine(t)
		f := terrestrial()
		f.system, f.stats = c.system, map[frontend.Command][]byte{frontend.StatCNR: c.cnr, frontend.StatErrorBlocks: c.blocks}
		m.plug(0, 0, card("0000:08:00.0"), "", f)
		m.tune(0, 0)
		got := m.collect(m.probe(probetest.NoConfig))
		if strings.Contains(got, "cnr_decibels{") != c.hasCNR || strings.Contains(got, "block_errors_total{") != c.hasBlocks {
			t.Errorf("system %d, %x, %x:\n%s", c.system, c.cnr, c.blocks, got)
		}
	}
}

// An adapter that comes back, or another one that takes its number, is a new device; the others notice nothing.
func TestReplug(t *testing.T) {
	m := newMachine(t)
	for a := range 4 {
		m.plug(a, 0, card("0000:08:00.0"), "", terrestrial())
		m.tune(a, 0)
	}
	p := m.probe(probetest.NoConfig)
	third := `locked{adapter="2",frontend="0",path="pci-0000:08:00.0",port="2"} 1`
	for n, step := range []struct {
		do           func()
		want, absent string
	}{
		{func() {}, `headend_dvb_adapters 4`, ""},
		{func() { m.unplug(1, 0) }, `headend_dvb_adapters 3`, `adapter="1"`},
		{func() { f := terrestrial(); f.info.Name = "Another"; m.plug(1, 0, card("0000:08:00.0"), "", f) },
			`info{adapter="1",frontend="0",name="Another",path="pci-0000:08:00.0",port="1"`, ""},
		{func() { m.unplug(1, 0); m.plug(1, 0, card("0000:05:00.0"), "", terrestrial()) }, // between two rounds
			`info{adapter="1",frontend="0",name="Silicon Labs Si2168",path="pci-0000:05:00.0",port="0"`, "Another"},
	} {
		step.do()
		got := m.collect(p)
		if !strings.Contains(got, step.want) || !strings.Contains(got, third) || step.absent != "" && strings.Contains(got, step.absent) {
			t.Errorf("step %d:\n%s", n, got)
		}
	}
}

func TestMistakesReachTheRunner(t *testing.T) {
	m := newMachine(t)
	f := terrestrial()
	f.asked = func() { panic("a mistake") }
	m.plug(0, 0, card("0000:08:00.0"), "", f)
	m.tune(0, 0)
	p := m.probe(probetest.NoConfig)
	defer func() {
		if v := recover(); !strings.Contains(fmt.Sprint(v), "a mistake") {
			t.Errorf("recovered %v", v)
		}
	}()
	probetest.Collect(p)
	t.Error("a panic got lost")
}

func TestNames(t *testing.T) {
	for key, ok := range map[string]bool{"adapter0.frontend0": true, "adapter12.frontend3": true, "adapter0": false, "0.0": false,
		"adapter00.frontend0": false, "adapter-1.frontend0": false, "frontend0.adapter0": false, "0.frontend0": false} {
		_, err := Kinds()[0].New(func(c any) error { c.(*Config).Names = map[string]string{key: "x"}; return nil }, newMachine(t).env())
		if (err == nil) != ok {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestThreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		th := threads{proc: m.env().Proc}
		find := func() []string {
			tuning, visible, err := th.find()
			if err != nil || !visible {
				t.Fatal(visible, err)
			}
			var names []string
			for name := range tuning {
				names = append(names, name)
			}
			slices.Sort(names)
			return names
		}
		if got := find(); len(got) != 0 {
			t.Errorf("found %v", got)
		}
		leave := m.tune(10, 1)
		m.comm("500", "kthreadd") // a kernel thread that has no name yet
		if got := find(); !slices.Equal(got, []string{"kdvb-ad-10-fe-1"}) {
			t.Errorf("found %v", got)
		}
		leave()
		m.comm("500", "kdvb-ad-0-fe-0")
		if got := find(); !slices.Equal(got, []string{"kdvb-ad-0-fe-0"}) {
			t.Errorf("found %v", got)
		}
		m.comm("3", "kdvb-ad-1-fe-0") // a number that is used again is noticed in time
		time.Sleep(believe + time.Second)
		if got := find(); !slices.Equal(got, []string{"kdvb-ad-0-fe-0", "kdvb-ad-1-fe-0"}) {
			t.Errorf("found %v", got)
		}
	})
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"dvb0.frontend0", "dvb15.frontend1", "dvb0.demux0", "dvb0.frontend", "dvb.frontend0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p, ok := parsePosition(name)
		if ok && (p.Adapter < 0 || p.Frontend < 0 || !strings.HasPrefix(name, "dvb") || strings.Contains(name, "demux")) {
			t.Errorf("%q is %v", name, p)
		}
	})
}

// A round over a machine with eight tuners and a thousand processes.
func BenchmarkCollect(b *testing.B) {
	m := newMachine(b)
	for a := range 8 {
		m.plug(a, 0, card("0000:08:00.0"), "TBSECP3", terrestrial())
		m.tune(a, 0)
	}
	for n := range 1000 {
		m.comm(fmt.Sprint(1000+n), "other")
	}
	p := m.probe(probetest.NoConfig)
	p.env.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	s := metric.NewSet(metric.NewTable(), 10000)
	b.ReportAllocs()
	for b.Loop() {
		s.Reset()
		if err := p.Collect(context.Background(), s); err != nil {
			b.Fatal(err)
		}
		s.End(metric.Round{}, func(metric.Round) {})
	}
}
