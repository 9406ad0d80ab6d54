package dvb

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"headend-agent/probe"
	"headend-agent/probe/dvb/frontend"
	"headend-agent/probe/probetest"
)

// machine is a recorded machine whose frontends are fakes.
type machine struct {
	t    testing.TB
	dir  string
	next int // process number

	mu    sync.Mutex
	fakes map[string]*fake // by node, adapterN/frontendM
	opens map[string]int
}

// fake is a frontend. Its zero value answers nothing but "no such reading".
type fake struct {
	openErr error
	hang    chan struct{} // Status returns when it is closed
	asked   func()        // at each Status

	info    frontend.Info
	systems []byte
	status  frontend.Status
	err     error // of Status
	old     bool  // knows no statistics, as kernels before 3.9
	system  uint32
	tuned   uint32 // frequency
	stats   map[frontend.Command][]byte

	strength, snr, ber, uncorrected v3
	infos, properties, legacy       int // calls
}

// v3 is a reading of API version 3.
type v3 struct {
	value int64
	errno unix.Errno
}

func newMachine(t testing.TB) *machine {
	m := &machine{t: t, dir: t.TempDir(), next: 100, fakes: map[string]*fake{}, opens: map[string]int{}}
	for _, d := range []string{"sys/devices", "proc/self/fd"} {
		m.mkdir(d)
	}
	m.comm("1", "systemd")
	m.comm("2", "kthreadd")
	m.comm("3", "rcu_gp")
	return m
}

func (m *machine) mkdir(path string) string {
	m.t.Helper()
	path = filepath.Join(m.dir, path)
	if err := os.MkdirAll(path, 0o755); err != nil {
		m.t.Fatal(err)
	}
	return path
}

func (m *machine) link(to, from string) string {
	m.t.Helper()
	m.mkdir(filepath.Dir(from))
	from = filepath.Join(m.dir, from)
	if err := os.Symlink(to, from); err != nil && !os.IsExist(err) {
		m.t.Fatal(err)
	}
	return from
}

func (m *machine) comm(pid, name string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.mkdir("proc/"+pid), "comm"), []byte(name+"\n"), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// parents are the directories of a device in sysfs, from the bus down, each with its subsystem.
type parents []struct{ dir, subsystem string }

func card(address string) parents {
	return parents{{"pci0000:00", ""}, {"0000:00:1c.0", "pci"}, {address, "pci"}}
}

// plug puts a frontend into sysfs, of a device that driver drives.
func (m *machine) plug(adapter, fe int, at parents, driver string, f *fake) {
	m.t.Helper()
	dir := "sys/devices"
	for i, d := range at {
		dir += "/" + d.dir
		if d.subsystem != "" {
			m.link("../bus/"+d.subsystem, dir+"/subsystem")
		}
		if i == len(at)-1 && driver != "" {
			m.link("../drivers/"+driver, dir+"/driver")
		}
	}
	name := fmt.Sprintf("dvb%d.frontend%d", adapter, fe)
	node := m.mkdir(dir + "/dvb/" + name)
	m.link("../../class/dvb", dir+"/dvb/"+name+"/subsystem")
	m.link(node, "sys/class/dvb/"+name)
	for _, other := range []string{"demux0", "dvr0", "net0", "ca0"} {
		m.link(node, fmt.Sprintf("sys/class/dvb/dvb%d.%s", adapter, other))
	}
	m.fakes[fmt.Sprintf("adapter%d/frontend%d", adapter, fe)] = f
}

// unplug moves the device away: its inode stays taken, as those of sysfs are for a long time.
func (m *machine) unplug(adapter, fe int) {
	m.t.Helper()
	link := filepath.Join(m.dir, fmt.Sprintf("sys/class/dvb/dvb%d.frontend%d", adapter, fe))
	dir, err := os.Readlink(link)
	if err == nil {
		err = os.Rename(dir, fmt.Sprintf("%s.gone%d", dir, time.Now().UnixNano()))
	}
	if err == nil {
		err = os.Remove(link)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// tune makes the kernel's thread of a frontend that is open for tuning, and returns what ends it.
func (m *machine) tune(adapter, fe int) (leave func()) {
	m.next++
	pid := fmt.Sprint(m.next)
	m.comm(pid, fmt.Sprintf("kdvb-ad-%d-fe-%d", adapter, fe))
	return func() {
		if err := os.RemoveAll(filepath.Join(m.dir, "proc", pid)); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *machine) env() probe.Env { return probetest.Env(m.t, m.dir) }

func (m *machine) probe(decode func(any) error) *dvb {
	m.t.Helper()
	p := probetest.New(m.t, Kinds()[0], decode, m.env()).(*dvb)
	p.open = m.open
	return p
}

func (m *machine) open(path string) (device, error) {
	node, err := filepath.Rel(filepath.Join(m.dir, "dev/dvb"), path)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opens[node]++
	f := m.fakes[node]
	if f == nil {
		return nil, fmt.Errorf("open %s: %w", node, unix.ENOENT)
	}
	if f.openErr != nil {
		return nil, f.openErr
	}
	return f, nil
}

func (m *machine) opened(node string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.opens[node]
}

func (f *fake) Close() error { return nil }

func (f *fake) Info() (frontend.Info, error) { f.infos++; return f.info, nil }

func (f *fake) Status() (frontend.Status, error) {
	if f.asked != nil {
		f.asked()
	}
	if f.hang != nil {
		<-f.hang
	}
	return f.status, f.err
}

func (f *fake) Properties(commands ...frontend.Command) ([]frontend.Property, error) {
	f.properties++
	var answers []frontend.Property
	for _, c := range commands {
		var b [48]byte
		switch {
		case c == frontend.DeliverySystem:
			le32(b[:], f.system)
		case c == frontend.Frequency:
			le32(b[:], f.tuned)
		case c == frontend.EnumDelivery:
			copy(b[:], f.systems)
			b[32] = byte(len(f.systems))
		case f.old:
			return nil, unix.EINVAL
		default:
			copy(b[:], f.stats[c])
		}
		answers = append(answers, frontend.PropertyFrom(c, b[:]))
	}
	return answers, nil
}

func le32(b []byte, v uint32) {
	for i := range 4 {
		b[i] = byte(v >> (8 * i))
	}
}

// stat is the kernel's form of a statistic: pairs of scale and value.
func stat(pairs ...int64) []byte {
	b := []byte{byte(len(pairs) / 2)}
	for i := 0; i < len(pairs); i += 2 {
		b = append(b, byte(pairs[i]))
		for j := range 8 {
			b = append(b, byte(uint64(pairs[i+1])>>(8*j)))
		}
	}
	return b
}

func (v v3) err() error {
	if v.errno == 0 {
		return nil
	}
	return v.errno
}

func (f *fake) Strength() (uint16, error) { return uint16(f.strength.value), f.strength.err() }
func (f *fake) SNR() (uint16, error)      { f.legacy++; return uint16(f.snr.value), f.snr.err() }
func (f *fake) BER() (uint32, error)      { f.legacy++; return uint32(f.ber.value), f.ber.err() }
func (f *fake) Uncorrected() (uint32, error) {
	f.legacy++
	return uint32(f.uncorrected.value), f.uncorrected.err()
}

const lockedStatus = frontend.HasSignal | frontend.HasCarrier | frontend.HasViterbi | frontend.HasSync | frontend.HasLock

// terrestrial is a healthy DVB-T2 frontend with statistics in decibels.
func terrestrial() *fake {
	return &fake{
		info: frontend.Info{Name: "Silicon Labs Si2168"}, systems: []byte{3, 16, 1}, status: lockedStatus, system: 16, tuned: 514000000,
		stats: map[frontend.Command][]byte{
			frontend.StatSignalStrength: stat(1, -45500), frontend.StatCNR: stat(1, 31250),
			frontend.StatPreErrorBits: stat(3, 1200), frontend.StatPreTotalBits: stat(3, 1e9),
			frontend.StatPostErrorBits: stat(3, 7), frontend.StatPostTotalBits: stat(3, 9e8),
			frontend.StatErrorBlocks: stat(3, 2), frontend.StatTotalBlocks: stat(3, 500000),
		},
		strength: v3{value: 0xc000},
	}
}

func (m *machine) collect(p *dvb) string {
	m.t.Helper()
	text, err := probetest.Collect(p)
	if err != nil {
		m.t.Fatal(err)
	}
	return text
}
