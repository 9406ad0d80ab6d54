package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/probe/probetest"
)

func TestDisk(t *testing.T) {
	m := newMachine(t) // for udev's files: their names have a colon, which a Go module must not have
	m.write("root/run/udev/data/b8:0", "S:disk/by-id/ata-X\nI:4500000\nE:ID_ATA=1\nE:ID_ATA_ROTATION_RATE_RPM=7200\nE:ID_ATA_WRITE_CACHE=1\nE:ID_ATA_WRITE_CACHE_ENABLED=0\n"+
		"E:ID_MODEL=HGST_HUH7280\nE:ID_PATH=pci-0000:00:1f.2-ata-1\nE:ID_REVISION=A4GN\nE:ID_SERIAL=HGST_HUH7280_2EH1\nE:ID_SERIAL_SHORT=2EH1\nE:ID_WWN=0x5000cca2\n")
	m.write("root/run/udev/data/b252:0", "E:DM_NAME=vg0-dvr\nE:DM_UUID=LVM-abc\nE:DM_VG_NAME=vg0\nE:DM_LV_NAME=dvr\nE:ID_FS_TYPE=xfs\nE:ID_FS_USAGE=filesystem\nE:ID_FS_UUID=1234-5678\n")
	env := m.env()
	env.Proc, env.Sys = filepath.Join("testdata", "disk", "proc"), filepath.Join("testdata", "disk", "sys")
	got, err := probetest.Collect(probetest.New(t, kind(t, "disk"), probetest.NoConfig, env))
	if err != nil {
		t.Fatal(err)
	}
	probetest.Golden(t, filepath.Join("testdata", "disk", "golden.txt"), got)
}

func TestDiskIOUsageIsTheShareSinceTheLastRun(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		p := probetest.New(t, kind(t, "disk"), probetest.NoConfig, m.env())
		for _, c := range []struct {
			what string
			busy int // milliseconds; -1: the disk is away
			want string
		}{
			{"the first run knows no share", 1000, ""},
			{"2.5 of 10 seconds", 3500, "25"},
			{"idle", 3500, "0"},
			{"ticks may count more than passed", 13600, "100"},
			{"counter went back", 100, ""},
			{"and on", 5100, "50"},
			{"away", -1, ""},
			{"back: nothing to compare with", 9000, ""},
			{"and on", 10000, "10"},
		} {
			stats, want := "", ""
			if c.busy >= 0 {
				stats = fmt.Sprintf("   8       0 sda 1 2 3 4 5 6 7 8 9 %d 11\n", c.busy)
			}
			if c.want != "" {
				want = `flussonic_disk_io_usage{device="sda"} ` + c.want + "\n"
			}
			m.write("proc/diskstats", stats)
			if got := only(t, p, "flussonic_disk_io_usage"); got != want {
				t.Errorf("%s: got %q, want %q", c.what, got, want)
			}
			time.Sleep(10 * time.Second)
		}
	})
}

func TestDiskInfoFollowsUdev(t *testing.T) {
	m := newMachine(t)
	m.write("proc/diskstats", "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n")
	p := probetest.New(t, kind(t, "disk"), probetest.NoConfig, m.env())
	udev := filepath.Join(m.dir, "root/run/udev/data/b8:0")
	for i, serial := range []string{"", "OLD", "NEW"} { // no udev yet; then a disk; then another one in its place
		want := `serial="` + serial + `"`
		if serial == "" {
			want = `node_disk_info{device="sda",major="8",minor="0",rotational="0"} 1`
		} else {
			m.write("root/run/udev/data/b8:0", "E:ID_SERIAL="+serial+"\n")
			written := time.Unix(1794300000+int64(i), 0)
			if err := os.Chtimes(udev, written, written); err != nil {
				t.Fatal(err)
			}
		}
		if got := only(t, p, "node_disk_info"); !strings.Contains(got, want) {
			t.Errorf("got %q, want %s in it", got, want)
		}
	}
}

func TestDiskExclude(t *testing.T) {
	m := newMachine(t)
	m.write("proc/diskstats", "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n   8       1 sda1 1 2 3 4 5 6 7 8 9 10 11\n")
	p := probetest.New(t, kind(t, "disk"), decode(func(c *DiskConfig) { c.DeviceExclude = "^sda$" }), m.env())
	if got, want := only(t, p, "node_disk_io_now"), "node_disk_io_now{device=\"sda1\"} 9\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
