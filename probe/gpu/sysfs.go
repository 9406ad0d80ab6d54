package gpu

import (
	"os"
	"path/filepath"
	"strings"

	"headend-agent/internal/metric"
)

// kernelDescs are the families that come from the kernel alone.
var kernelDescs = []*metric.Desc{
	flussonicEnc, flussonicDec, flussonicTemp, info, up, engineRatio, temperature, memoryUsed, memoryTotal, power, powerLimit,
	energy, clockNow, clockMax, fan,
}

// addFile adds a sysfs file that is one number.
func addFile(out *metric.Set, d *metric.Desc, c card, unit float64, file string, more ...string) bool {
	v, ok := readNumber(filepath.Join(c.dir, file))
	if ok {
		out.Add(d, scaled(v, unit), append([]string{c.label(), c.pci}, more...)...)
	}
	return ok
}

// addFirst adds the first of some files that is there.
func addFirst(out *metric.Set, d *metric.Desc, c card, unit float64, files []string, more ...string) {
	for _, f := range files {
		if addFile(out, d, c, unit, f, more...) {
			return
		}
	}
}

// drmDir returns the directory of the card's DRM device below its own, like drm/card0; "" without one.
func drmDir(c card) string {
	entries, _ := os.ReadDir(filepath.Join(c.dir, "drm"))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "card") && !strings.Contains(e.Name(), "-") {
			return "drm/" + e.Name()
		}
	}
	return ""
}

// hwmonDir returns the directory of the card's sensors below its own; "" without one.
func hwmonDir(c card) string {
	entries, _ := os.ReadDir(filepath.Join(c.dir, "hwmon"))
	if len(entries) == 0 {
		return ""
	}
	return "hwmon/" + entries[0].Name()
}

// addSensors adds what the card's hwmon device says. main are the temperature labels that stand for the GPU as a whole, best first;
// it tells whether there is one of them.
func addSensors(out *metric.Set, c card, main ...string) (hasMain bool) {
	dir := hwmonDir(c)
	if dir == "" {
		return false
	}
	found := map[string]float64{}
	for _, n := range []string{"1", "2", "3", "4"} { // millidegrees
		v, ok := readNumber(filepath.Join(c.dir, dir, "temp"+n+"_input"))
		if !ok {
			continue
		}
		label := readLine(filepath.Join(c.dir, dir), "temp"+n+"_label")
		if label == "" && n == "1" {
			label = "gpu"
		} else if label == "" {
			label = "temp" + n
		}
		if _, twice := found[label]; !twice {
			found[label] = scaled(v, milli)
			out.Add(temperature, found[label], c.label(), c.pci, label)
		}
	}
	for _, label := range main {
		if v, ok := found[label]; ok {
			out.Add(flussonicTemp, v, c.label(), c.pci)
			hasMain = true
			break
		}
	}
	addFirst(out, power, c, micro, []string{dir + "/power1_average", dir + "/power1_input"}) // microwatts
	addFirst(out, powerLimit, c, micro, []string{dir + "/power1_cap", dir + "/power1_max"})
	addFile(out, energy, c, micro, dir+"/energy1_input") // microjoules
	now, ok := readNumber(filepath.Join(c.dir, dir, "pwm1"))
	most, okMax := readNumber(filepath.Join(c.dir, dir, "pwm1_max"))
	if ok && okMax && most > 0 {
		out.Add(fan, now/most, c.label(), c.pci)
	}
	return hasMain
}

// addCard adds what is said of every card.
func addCard(out *metric.Set, c card, vendor, name string, answers bool) {
	out.Add(info, 1, c.label(), c.pci, "", name, vendor, c.driver)
	value := 0.0
	if answers {
		value = 1
	}
	out.Add(up, value, c.label(), c.pci)
}
