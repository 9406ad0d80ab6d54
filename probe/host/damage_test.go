package host

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headend-agent/probe/probetest"
)

// mainFiles names the file without which a probe has nothing to say.
var mainFiles = map[string]string{
	"arp":        "proc/net/arp",
	"conntrack":  "proc/sys/net/netfilter/nf_conntrack_count",
	"cpu":        "proc/stat",
	"cpufreq":    "sys/devices/system/cpu/offline",
	"disk":       "proc/diskstats",
	"entropy":    "proc/sys/kernel/random/poolsize",
	"filefd":     "proc/sys/fs/file-nr",
	"filesystem": "proc/1/mountinfo",
	"memory":     "proc/meminfo",
	"netstat":    "proc/net/netstat",
	"network":    "proc/net/dev",
	"pressure":   "proc/pressure/cpu",
	"schedstat":  "proc/schedstat",
	"sockstat":   "proc/net/sockstat",
	"softnet":    "proc/net/softnet_stat",
	"stat":       "proc/stat",
	"udp_queues": "proc/net/udp",
	"vmstat":     "proc/vmstat",
}

// absent are those that a healthy machine may lack.
var absent = []string{"conntrack", "cpufreq", "pressure", "schedstat", "sockstat", "udp_queues"}

func TestMachineWithoutFiles(t *testing.T) {
	for name := range mainFiles {
		got, err := probetest.Collect(probetest.New(t, kind(t, name), probetest.NoConfig, newMachine(t).env()))
		if got != "" {
			t.Errorf("%s found %s where nothing is", name, got)
		}
		optional := strings.Contains(" "+strings.Join(absent, " ")+" ", " "+name+" ")
		if optional != (err == nil) {
			t.Errorf("%s: got %v; may be absent: %t", name, err, optional)
		}
	}
	if _, err := probetest.Collect(probetest.New(t, kind(t, "netclass"), probetest.NoConfig, newMachine(t).env())); err == nil {
		t.Error("netclass finds no fault where there is no sysfs")
	}
	got, err := probetest.Collect(probetest.New(t, kind(t, "time"), probetest.NoConfig, newMachine(t).env()))
	if err != nil || !strings.Contains(got, "node_time_seconds") || strings.Contains(got, "clocksource") {
		t.Errorf("time: got %v, %s; want the time alone", err, got)
	}
}

func TestMalformedFileIsAnErrorOrNothing(t *testing.T) {
	for name, file := range mainFiles {
		for _, text := range []string{"\x00\xff\xfe garbage", "a b c d e f g h i j k l\nm n o p q\n", "cpu one two\nintr -\n", "1.5.7\n"} {
			m := newMachine(t)
			m.write("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "x\n")
			if name == "udp_queues" {
				text = "  sl  local_address rem_address\n" + text // procfs does not look at the first line
			}
			m.write(file, text)
			got, err := probetest.Collect(probetest.New(t, kind(t, name), probetest.NoConfig, m.env()))
			if err == nil && got != "" {
				t.Errorf("%s made of %q\n%s", name, text, got)
			}
		}
	}
}

// TestDamage breaks one file of each recorded machine at a time; what a probe makes of it does not matter, as long as it
// lives.
func TestDamage(t *testing.T) {
	damages := map[string]func([]byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"cut short": func(b []byte) []byte { return b[:len(b)/2] },
		"one byte":  func(b []byte) []byte { return b[:min(1, len(b))] },
		"lines cut": func(b []byte) []byte { return eachLine(b, func(l []byte) []byte { return l[:len(l)/2] }) },
		"last word": func(b []byte) []byte {
			return eachLine(b, func(l []byte) []byte { return l[:bytes.LastIndexByte(l, ' ')+1] })
		},
		"first word": func(b []byte) []byte {
			return eachLine(b, func(l []byte) []byte { return l[bytes.IndexByte(l, ' ')+1:] })
		},
		"no digits": func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("1"), []byte("x")) },
		"minus":     func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(" "), []byte(" -")) },
		"huge":      func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("1"), []byte("99999999999999999999")) },
		"one line":  func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte(" ")) },
		"colons":    func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(" "), []byte(":")) },
		"no colons": func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(":"), nil) },
	}
	for name := range mainFiles {
		dir := filepath.Join("testdata", name)
		m := newMachine(t)
		for _, tree := range []string{"proc", "sys"} { // not every machine has both
			if _, err := os.Stat(filepath.Join(dir, tree)); err == nil {
				os.Remove(filepath.Join(m.dir, tree))
				if err := os.CopyFS(filepath.Join(m.dir, tree), os.DirFS(filepath.Join(dir, tree))); err != nil {
					t.Fatal(err)
				}
			}
		}
		run := func(path, what, text string) {
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("%s: %s of %s: panic: %v", name, what, path, r)
				}
			}()
			m.write(path, text)
			p := probetest.New(t, kind(t, name), probetest.NoConfig, m.env())
			probetest.Collect(p)
			probetest.Collect(p)
		}
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Dir(path) == dir {
				return err
			}
			whole, err := os.ReadFile(path)
			broken := strings.TrimPrefix(path, dir)
			for what, damage := range damages {
				run(broken, what, string(damage(whole)))
			}
			m.write(broken, string(whole))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func eachLine(b []byte, f func([]byte) []byte) []byte {
	var out []byte
	for l := range bytes.Lines(b) {
		out = append(append(out, f(bytes.TrimSuffix(l, []byte{'\n'}))...), '\n')
	}
	return out
}
