package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// HwmonConfig is the section "hwmon".
type HwmonConfig struct {
	ChipExclude string `yaml:"chip_exclude"` // regular expression over the label "chip"; empty excludes none
}

var (
	hwmonChipNames = &metric.Desc{Name: "node_hwmon_chip_names", Help: "Name that the driver gives the chip, always 1.", Type: metric.Gauge,
		Labels: []string{"chip", "chip_name"}}
	hwmonSensorLabel = &metric.Desc{Name: "node_hwmon_sensor_label", Help: "Label that the driver gives the sensor, always 1.", Type: metric.Gauge,
		Labels: []string{"chip", "sensor", "label"}}
)

// hwmon reads /sys/class/hwmon, as the kernel's Documentation/hwmon/sysfs-interface names the files. procfs does not.
type hwmon struct {
	class   string
	exclude *regexp.Regexp // nil: none
	files   hwmonFiles
	found   []hwmonReading // of the chip at hand
}

// hwmonReading is one file of a chip and what it holds.
type hwmonReading struct {
	hwmonFile
	text string
}

func newHwmon(decode func(any) error, env probe.Env) (probe.Probe, error) {
	var cfg HwmonConfig
	if err := decode(&cfg); err != nil {
		return nil, err
	}
	p := &hwmon{class: filepath.Join(env.Sys, "class/hwmon"), files: newHwmonFiles()}
	if cfg.ChipExclude != "" {
		re, err := regexp.Compile(cfg.ChipExclude)
		if err != nil {
			return nil, fmt.Errorf("chip_exclude: %w", err)
		}
		p.exclude = re
	}
	return p, nil
}

// hwmonChip is a directory of the class. base is not unique: one device can have several.
type hwmonChip struct{ dir, base, name string }

func (p *hwmon) Collect(ctx context.Context, out *metric.Set) error {
	entries, err := os.ReadDir(p.class)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list hwmon chips: %w", err)
	}
	var chips []hwmonChip
	bases, names := map[string]int{}, map[hwmonChip]int{}
	for _, e := range entries {
		c := hwmonChip{dir: filepath.Join(p.class, e.Name())}
		if info, err := os.Stat(c.dir); err != nil || !info.IsDir() {
			continue
		}
		c.name, _ = readSys(filepath.Join(c.dir, "name"))
		c.base = cmp.Or(deviceName(c.dir), cleanName(c.name), cleanName(e.Name()))
		chips = append(chips, c)
		bases[c.base]++
		names[hwmonChip{base: c.base, name: c.name}]++
	}
	for _, c := range chips {
		chip := c.base
		if bases[c.base] > 1 {
			suffix := cleanName(c.name)
			if suffix == "" || names[hwmonChip{base: c.base, name: c.name}] > 1 {
				suffix = cleanName(filepath.Base(c.dir))
			}
			chip += "_" + suffix
		}
		if p.exclude != nil && p.exclude.MatchString(chip) {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err() // chips behind a slow bus take long
		}
		p.collectChip(chip, c, out)
	}
	return nil
}

func (p *hwmon) collectChip(chip string, c hwmonChip, out *metric.Set) {
	if name := cleanName(c.name); name != "" {
		out.Add(hwmonChipNames, 1, chip, name)
	}
	p.found = p.found[:0]
	p.readDir(filepath.Join(c.dir, "device")) // where old drivers keep their files; of two the device's counts
	p.readDir(c.dir)
	slices.SortStableFunc(p.found, func(a, b hwmonReading) int {
		return cmp.Or(strings.Compare(a.sensor, b.sensor), strings.Compare(a.element, b.element))
	})
	p.found = slices.CompactFunc(p.found, func(a, b hwmonReading) bool { return a.sensor == b.sensor && a.element == b.element })
	for i := 0; i < len(p.found); {
		n := 1
		for i+n < len(p.found) && p.found[i+n].sensor == p.found[i].sensor {
			n++
		}
		addSensor(chip, p.found[i:i+n], out)
		i += n
	}
}

// readDir reads what can be read: a chip that has gone has no readings, and drivers answer EIO, ENODATA or EAGAIN for a
// sensor that is not wired or asleep.
func (p *hwmon) readDir(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		f := p.files.get(e.Name())
		if f.desc == nil || e.IsDir() {
			continue
		}
		if text, err := readSys(filepath.Join(dir, e.Name())); err == nil {
			p.found = append(p.found, hwmonReading{f, text})
		}
	}
}

// addSensor adds the files of one sensor, sorted by element.
func addSensor(chip string, files []hwmonReading, out *metric.Set) {
	sensor, bare := files[0].sensor, files[0].element == ""
	label := ""
	for _, f := range files {
		if f.element == "label" {
			label = f.text
			out.Add(hwmonSensorLabel, 1, chip, sensor, label)
		}
	}
	for _, f := range files {
		v, err := strconv.ParseFloat(f.text, 64)
		switch {
		case f.element == "label":
		case f.kind == "beep_enable":
			out.Add(f.desc, boolValue(f.text == "1"), chip, sensor)
		case err != nil:
		case f.kind == "freq" && f.element == "input":
			if label != "" {
				out.Add(f.desc, v/f.per, chip, cleanName(label))
			}
		case f.element == "input" && bare:
			out.Add(f.input, v/f.per, chip, sensor)
		default:
			out.Add(f.desc, v/f.per, chip, sensor)
		}
	}
}

// deviceName names a chip by the last two parts of its device's path, like platform_coretemp_0: that is stable, while
// hwmonN is not.
func deviceName(dir string) string {
	path, err := filepath.EvalSymlinks(filepath.Join(dir, "device"))
	if err != nil {
		return ""
	}
	name, bus := cleanName(filepath.Base(path)), cleanName(filepath.Base(filepath.Dir(path)))
	if name == "" || bus == "" {
		return name
	}
	return bus + "_" + name
}

// cleanName lowers a name and replaces what a metric name must not have.
func cleanName(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == ':' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToLower(name)), "_")
}
