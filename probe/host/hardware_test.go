package host

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headend-agent/probe/probetest"
)

// hardware names the probes of devices, file systems and kernel modules that a machine may lack.
var hardware = []string{
	"bcache", "bcachefs", "bonding", "btrfs", "dmi", "dmmultipath", "edac", "fibrechannel", "hwmon", "infiniband", "ipvs", "kernel_hung",
	"mdadm", "nfs", "nfsd", "nvme", "os", "powersupplyclass", "rapl", "selinux", "tapestats", "thermal_zone", "watchdog", "xfs", "zfs",
}

func TestHardware(t *testing.T) {
	for _, name := range hardware {
		t.Run(name, func(t *testing.T) { golden(t, name) })
	}
}

// recorded is a copy of the machine that a probe was recorded on.
func recorded(t testing.TB, name string) machine {
	t.Helper()
	m := newMachine(t)
	if err := os.CopyFS(m.dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHardwareThatIsAbsent(t *testing.T) {
	env := newMachine(t).env()
	for _, name := range hardware {
		want := ""
		if name == "selinux" {
			want = "# HELP node_selinux_enabled Whether SELinux is on.\n# TYPE node_selinux_enabled gauge\nnode_selinux_enabled 0\n"
		}
		if got, err := probetest.Collect(probetest.New(t, kind(t, name), probetest.NoConfig, env)); err != nil || got != want {
			t.Errorf("%s without its hardware: %q, %v", name, got, err)
		}
	}
}

// TestHardwareDamage breaks every file of every recorded machine in turn: that may cost the round, never the process.
func TestHardwareDamage(t *testing.T) {
	for _, name := range hardware {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := recorded(t, name)
			k := kind(t, name)
			err := filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() || filepath.Base(path) == "golden.txt" {
					return err
				}
				good, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				for _, bad := range [...]string{"", "x", "-1\n", "18446744073709551616\n", string(good[:len(good)/2]),
					strings.ReplaceAll(string(good), "1", "x"), strings.Repeat("9", 70_000)} {
					if err := os.WriteFile(path, []byte(bad), 0o644); err != nil {
						return err
					}
					probetest.Collect(probetest.New(t, k, probetest.NoConfig, m.env()))
				}
				if err := os.Remove(path); err != nil {
					return err
				}
				probetest.Collect(probetest.New(t, k, probetest.NoConfig, m.env()))
				return os.WriteFile(path, good, 0o644)
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestHardwareMalformed(t *testing.T) {
	for _, c := range []struct{ name, file, content string }{
		// Those that procfs v0.23.0 panics on.
		{"mdadm", "proc/mdstat", "Personalities : x\n"},
		{"tapestats", "sys/class/scsi_tape/st0/stats/read_cnt", "some\n"},
		{"bcache", "sys/fs/bcache/deaddd54-c735-46d5-868e-f331c5fd7c74/congested", ""},

		{"bcache", "sys/fs/bcache/deaddd54-c735-46d5-868e-f331c5fd7c74/tree_depth", "deep\n"},
		{"bcachefs", "sys/fs/bcachefs/0b9d2ea4-7dd1-4a3f-a4a5-5f5a7d2a1c11/counters/copygc", "12\n"},
		{"btrfs", "sys/fs/btrfs/7f07c59f-6136-449c-ab87-e1cf2328731b/commit_stats", "commits many\n"},
		{"dmmultipath", "sys/block/dm-5/size", "big\n"},
		{"edac", "sys/devices/system/edac/mc/mc0/ce_count", "few\n"},
		{"edac", "sys/devices/system/edac/mc/mc0/csrow0/ch1_ce_count", "\n"},
		{"fibrechannel", "sys/class/fc_host/host0/statistics/tx_words", "words\n"},
		{"infiniband", "sys/class/infiniband/mlx5_0/ports/1/state", "ACTIVE\n"},
		{"ipvs", "proc/net/ip_vs_stats", "Total\n"},
		{"ipvs", "proc/net/ip_vs", "TCP  somewhere wlc\n"},
		{"kernel_hung", "proc/sys/kernel/hung_task_detect_count", "none\n"},
		{"mdadm", "proc/mdstat", "md0 : active raid1 sda1[0]\n"},
		{"mdadm", "sys/block/md0/md/degraded", "many\n"},
		{"nfs", "proc/net/rpc/nfs", "proc3 22 1 2\n"},
		{"nfsd", "proc/net/rpc/nfsd", "rc 1\n"},
		{"os", "root/etc/os-release", "NAME=\"open\n"},
		{"os", "root/etc/os-release", "no assignment\n"},
		{"os", "root/etc/os-release", "SUPPORT_END=soon\n"},
		{"powersupplyclass", "sys/class/power_supply/AC/online", "yes\n"},
		{"rapl", "sys/class/powercap/intel-rapl:0/energy_uj", "much\n"},
		{"selinux", "sys/fs/selinux/enforce", "perhaps\n"},
		{"thermal_zone", "sys/class/thermal/thermal_zone0/temp", "warm\n"},
		{"thermal_zone", "sys/class/thermal/cooling_device0/cur_state", "off\n"},
		{"watchdog", "sys/class/watchdog/watchdog0/timeout", "long\n"},
		{"xfs", "sys/fs/xfs/sda1/stats/stats", "abt 1 2\n"},
		{"zfs", "proc/spl/kstat/zfs/arcstats", "hits 4 1\n"},
		{"zfs", "proc/spl/kstat/zfs/arcstats", "name type data\nhits 4 many\n"},
		{"zfs", "proc/spl/kstat/zfs/tank/io", "nread nwritten reads writes wtime wlentime wupdate rtime rlentime rupdate wcnt rcnt\n1 2\n"},
	} {
		m := recorded(t, c.name)
		m.write(c.file, c.content)
		if _, err := probetest.Collect(probetest.New(t, kind(t, c.name), probetest.NoConfig, m.env())); err == nil {
			t.Errorf("%s with %q in %s: no error", c.name, c.content, c.file)
		}
	}
}

func TestHardwareConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		decode func(any) error
		gone   string // from the golden text
	}{
		{"hwmon", decode(func(c *HwmonConfig) { c.ChipExclude = "^platform_coretemp" }), `chip="platform_coretemp_0"`},
		{"powersupplyclass", decode(func(c *PowerSupplyConfig) { c.IgnoredSupplies = "^hid" }), `power_supply="hidpp_ups"`},
	} {
		env := probetest.Env(t, filepath.Join("testdata", c.name))
		all, err := probetest.Collect(probetest.New(t, kind(t, c.name), probetest.NoConfig, env))
		if err != nil {
			t.Fatal(err)
		}
		some, err := probetest.Collect(probetest.New(t, kind(t, c.name), c.decode, env))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(all, c.gone) || strings.Contains(some, c.gone) || some == "" {
			t.Errorf("%s: %s is not what the configuration took away", c.name, c.gone)
		}
	}
	for name, bad := range map[string]func(any) error{
		"hwmon":            decode(func(c *HwmonConfig) { c.ChipExclude = "(" }),
		"powersupplyclass": decode(func(c *PowerSupplyConfig) { c.IgnoredSupplies = "(" }),
	} {
		if _, err := kind(t, name).New(bad, newMachine(t).env()); err == nil || !strings.Contains(err.Error(), "missing closing )") {
			t.Errorf("%s: a bad expression gives %v", name, err)
		}
	}
}

func FuzzOSRelease(f *testing.F) {
	f.Add("NAME=\"Example \\\"Linux\\\"\"\nID='a b' # c\nVERSION_ID=13\n")
	f.Fuzz(func(t *testing.T, text string) {
		env, err := parseOSRelease(text)
		if err != nil && env != nil {
			t.Error("values beside an error")
		}
	})
}

func FuzzKstat(f *testing.F) {
	f.Add("13 1 0x01\nname type data\nhits 4 12\ndataset_name 7 tank/on demand\n")
	f.Fuzz(func(t *testing.T, text string) {
		parseKstat(text, func(name, kind, data string) error {
			if name == "" || kind == "" || data == "" {
				t.Errorf("%q has an empty part: %q %q %q", text, name, kind, data)
			}
			return nil
		})
	})
}

func FuzzHwmonFile(f *testing.F) {
	for _, s := range []string{"temp1_input", "in0", "fan12_", "vrm", "pwm1_auto_point1_pwm", "temp99999999999999999999_x", "cpu0_vid"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		got := newHwmonFiles().get(file)
		if got.desc == nil {
			return
		}
		if !strings.HasPrefix(got.desc.Name, "node_hwmon_") || got.sensor == "" || got.per == 0 {
			t.Errorf("%q gives %+v", file, got)
		}
	})
}
