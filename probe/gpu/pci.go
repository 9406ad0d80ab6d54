package gpu

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Vendors of GPUs, as in the file "vendor" of a PCI device.
const (
	vendorNVIDIA = "0x10de"
	vendorIntel  = "0x8086"
	vendorAMD    = "0x1002"
)

// card is a GPU on the PCI bus, known without its driver.
type card struct {
	index  int    // among all GPUs: NVIDIA's first, as its tools count, then the others, by address
	pci    string // 0000:3b:00.0
	dir    string // in sysfs
	vendor string
	device string // 0x1eb8
	driver string // bound kernel driver; "" for none
}

// label is the value of the label "gpu".
func (c card) label() string { return strconv.Itoa(c.index) }

// cards lists the GPUs of the machine, but for those handed to virtual machines: none where there is no PCI bus.
func cards(sys string) ([]card, error) {
	bus := filepath.Join(sys, "bus/pci/devices")
	entries, err := os.ReadDir(bus)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []card
	for _, e := range entries {
		dir := filepath.Join(bus, e.Name())
		if class := readLine(dir, "class"); !strings.HasPrefix(class, "0x03") { // display controller
			continue
		}
		c := card{pci: e.Name(), dir: dir, vendor: readLine(dir, "vendor"), device: readLine(dir, "device")}
		if link, err := os.Readlink(filepath.Join(dir, "driver")); err == nil {
			c.driver = filepath.Base(link)
		}
		known := c.vendor == vendorNVIDIA || c.vendor == vendorIntel || c.vendor == vendorAMD
		if known && !strings.HasPrefix(c.driver, "vfio") {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b card) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.pci, b.pci))
	})
	for i := range all {
		all[i].index = i
	}
	return all, nil
}

func rank(c card) int {
	if c.vendor == vendorNVIDIA {
		return 0
	}
	return 1
}

// bus remembers which cards there are: to look costs more than to read one.
type bus struct {
	sys    string
	wanted func(card) bool
	found  []card
	looked time.Time
}

// lookAgain is the time between two looks at the bus.
const lookAgain = time.Minute

// cards lists the wanted cards. fresh is true where the bus was looked at.
func (b *bus) cards() (found []card, fresh bool, err error) {
	if time.Since(b.looked) < lookAgain {
		return b.found, false, nil
	}
	all, err := cards(b.sys)
	if err != nil {
		return nil, false, fmt.Errorf("list GPUs on the PCI bus: %w", err)
	}
	b.found, b.looked = slices.DeleteFunc(all, func(c card) bool { return !b.wanted(c) }), time.Now()
	return b.found, true, nil
}

// of tells a vendor's cards that have a driver.
func of(vendor string) func(card) bool {
	return func(c card) bool { return c.vendor == vendor && c.driver != "" }
}

// readLine reads a short file of sysfs; "" where that fails.
func readLine(dir, name string) string {
	s, err := readFile(filepath.Join(dir, name), nil)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(s))
}

// readNumber reads a file of sysfs that is one whole number.
func readNumber(path string) (float64, bool) {
	b, err := readFile(path, nil)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return float64(n), err == nil
}
