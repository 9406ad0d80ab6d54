package host

import (
	"slices"
	"strconv"
	"strings"

	"headend-agent/internal/metric"
)

// hwmonKinds are the types of sensors in the names of the files.
var hwmonKinds = []string{
	"vrm", "beep_enable", "update_interval", "in", "cpu", "fan", "pwm", "temp", "curr", "power", "energy", "humidity", "intrusion", "freq",
}

const digits = "0123456789"

var hwmonSensorLabels = []string{"chip", "sensor"}

// hwmonFile is what the name of a file in a chip's directory says. The zero hwmonFile is no sensor's.
type hwmonFile struct {
	kind    string // temp
	sensor  string // temp1
	element string // max; empty for the sensor's own value
	desc    *metric.Desc
	input   *metric.Desc // in place of desc where the sensor has a value of its own beside the input
	per     float64      // units of the file in one of the family's
}

// hwmonFiles remembers the sensors' files by name, and the families by theirs.
type hwmonFiles struct {
	files    map[string]hwmonFile
	families map[string]*metric.Desc
}

func newHwmonFiles() hwmonFiles {
	return hwmonFiles{map[string]hwmonFile{}, map[string]*metric.Desc{}}
}

func (t hwmonFiles) get(file string) hwmonFile {
	f, ok := t.files[file]
	if !ok {
		if f = t.parse(file); f.desc != nil {
			t.files[file] = f
		}
	}
	return f
}

// parse takes apart KIND, NUMBER and _ELEMENT. Families are those of node_exporter, irregular ones included.
func (t hwmonFiles) parse(file string) hwmonFile {
	end := strings.IndexAny(file, digits)
	if end < 0 {
		end = len(file)
	}
	kind, rest := file[:end], file[end:]
	if !slices.Contains(hwmonKinds, kind) {
		return hwmonFile{}
	}
	tail := strings.TrimLeft(rest, digits)
	number := 0
	if n := len(rest) - len(tail); n > 0 {
		var err error
		if number, err = strconv.Atoi(rest[:n]); err != nil {
			return hwmonFile{}
		}
	}
	element, ok := strings.CutPrefix(tail, "_")
	if tail != "" && (!ok || element == "") {
		return hwmonFile{}
	}
	name := "node_hwmon_" + kind
	switch kind {
	case "beep_enable":
		name = "node_hwmon_beep_enabled"
	case "vrm":
		name = "node_hwmon_voltage_regulator_version"
	}
	if element != "" && element != "input" {
		name += "_" + cleanName(element)
	}
	suffix, unit, per := hwmonUnit(kind, element)
	f := hwmonFile{kind: kind, sensor: kind + strconv.Itoa(number), element: element, per: per}
	f.desc = t.family(name+suffix, kind, element, unit)
	if element == "input" {
		f.input = t.family(name+"_input"+suffix, kind, element, unit)
	}
	return f
}

func (t hwmonFiles) family(name, kind, element string, unit metric.Unit) *metric.Desc {
	d := t.families[name]
	if d == nil {
		d = &metric.Desc{Name: name, Help: "Hardware monitor, " + strings.TrimSpace(kind+" "+element) + ".",
			Type: metric.Gauge, Unit: unit, Labels: hwmonSensorLabels}
		if unit == metric.Joules {
			d.Type = metric.Counter
		}
		t.families[name] = d
	}
	return d
}

// hwmonDescs lists what most chips have. Further elements make further families, named in the same way.
func hwmonDescs() []*metric.Desc {
	ds := []*metric.Desc{hwmonChipNames, hwmonSensorLabel}
	t := newHwmonFiles()
	for _, file := range [...]string{"beep_enable", "curr1_input", "energy1_input", "fan1_input", "fan1_min", "fan1_alarm", "freq1_input",
		"humidity1_input", "in0_input", "in0_min", "in0_max", "in0_alarm", "intrusion0_alarm", "power1_average", "power1_input", "pwm1",
		"temp1_input", "temp1_max", "temp1_crit", "temp1_crit_alarm", "temp1_alarm", "temp1_fault", "update_interval", "vrm"} {
		ds = append(ds, t.get(file).desc)
	}
	return ds
}

// hwmonUnit returns the suffix of the family's name, its unit, and how many of the kernel's units make one.
func hwmonUnit(kind, element string) (suffix string, unit metric.Unit, per float64) {
	switch element {
	case "fault", "alarm":
		return "", metric.None, 1
	case "beep":
		return "_enabled", metric.None, 1
	}
	switch kind {
	case "update_interval":
		return "_seconds", metric.Seconds, 1000
	case "in", "cpu":
		return "_volts", metric.Volts, 1000
	case "temp":
		if element != "type" {
			return "_celsius", metric.Celsius, 1000
		}
	case "curr":
		return "_amps", metric.Amperes, 1000
	case "energy":
		return "_joule_total", metric.Joules, 1e6
	case "power":
		switch element {
		case "accuracy":
			return "", metric.Ratio, 1e6
		case "average_interval", "average_interval_min", "average_interval_max":
			return "_seconds", metric.Seconds, 1000
		}
		return "_watt", metric.Watts, 1e6
	case "humidity":
		return "", metric.Ratio, 1e6
	case "fan":
		switch element {
		case "input", "min", "max", "target":
			return "_rpm", metric.RPM, 1
		}
	case "freq":
		if element == "input" {
			return "_freq_mhz", metric.None, 1e6
		}
	}
	return "", metric.None, 1
}
