package dvb

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"headend-agent/probe"
)

// parsePosition reads a name of /sys/class/dvb, dvbN.frontendM; those of demux, dvr, ca and net nodes are refused.
func parsePosition(name string) (probe.Tuner, bool) {
	name, ok := strings.CutPrefix(name, "dvb")
	a, f, ok2 := strings.Cut(name, ".frontend")
	p, ok3 := probe.ParseTuner(a, f)
	return p, ok && ok2 && ok3
}

// place is where a frontend is found.
type place struct {
	probe.Tuner
	device uint64 // inode of its sysfs directory: another one when another device takes the number
}

// scan lists the frontends of /sys/class/dvb, sorted. There are none where no driver is loaded.
func scan(class string) ([]place, error) {
	entries, err := os.ReadDir(class)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list frontends: %w", err)
	}
	var found []place
	for _, e := range entries {
		p, ok := parsePosition(e.Name())
		if !ok {
			continue
		}
		var st syscall.Stat_t
		if syscall.Stat(filepath.Join(class, e.Name()), &st) != nil {
			continue // unplugged since
		}
		found = append(found, place{p, st.Ino})
	}
	slices.SortFunc(found, func(a, b place) int {
		return cmp.Or(a.Adapter-b.Adapter, a.Frontend-b.Frontend)
	})
	return found, nil
}

// hardware finds out which device a frontend is part of, and its driver. The path is udev's ID_PATH: it stays the same while
// adapter numbers change from boot to boot. Both are "" where sysfs does not tell.
func hardware(sys, class string, p probe.Tuner) (path, driver string) {
	dir, err := filepath.EvalSymlinks(filepath.Join(class, fmt.Sprintf("dvb%d.frontend%d", p.Adapter, p.Frontend)))
	if err != nil {
		return "", ""
	}
	devices, err := filepath.EvalSymlinks(filepath.Join(sys, "devices"))
	if err != nil {
		return "", ""
	}
	usb := ""
	for ; strings.HasPrefix(dir, devices+"/"); dir = filepath.Dir(dir) {
		if driver == "" {
			driver = linkBase(filepath.Join(dir, "driver"))
		}
		name := filepath.Base(dir)
		switch linkBase(filepath.Join(dir, "subsystem")) {
		case "usb":
			if _, port, ok := strings.Cut(name, "-"); ok && usb == "" {
				usb = "-usb-0:" + port
			}
		case "pci":
			return "pci-" + name + usb, driver
		case "platform":
			return "platform-" + name + usb, driver
		}
	}
	return strings.TrimPrefix(usb, "-"), driver
}

func linkBase(link string) string {
	to, err := os.Readlink(link)
	if err != nil {
		return ""
	}
	return filepath.Base(to)
}
