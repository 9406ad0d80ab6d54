package e2e

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// exposition is a text exposition: values by series, types by family.
type exposition struct {
	values map[string]float64
	types  map[string]string
}

var emptyLabel = regexp.MustCompile(`[a-zA-Z_0-9]+="",?`)

func scrape(t *testing.T, address string) exposition {
	t.Helper()
	text, err := get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	e := exposition{map[string]float64{}, map[string]string{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if f := strings.Fields(line); len(f) == 4 && f[1] == "TYPE" {
			e.types[f[2]] = f[3]
		}
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		e.values[canonical(line[:at])] = v
	}
	return e
}

// canonical writes a series with its labels sorted and, as Prometheus sees it, without those that are empty.
func canonical(series string) string {
	name, labels, ok := strings.Cut(series, "{")
	if !ok {
		return series
	}
	labels = emptyLabel.ReplaceAllString(strings.TrimSuffix(labels, "}"), "")
	parts := regexp.MustCompile(`[a-zA-Z_0-9]+="(?:[^"\\]|\\.)*"`).FindAllString(labels, -1)
	slices.Sort(parts)
	if len(parts) == 0 {
		return name
	}
	return name + "{" + strings.Join(parts, ",") + "}"
}

func family(series string) string {
	name, _, _ := strings.Cut(series, "{")
	return name
}

// own are families that node_exporter has about itself.
var own = regexp.MustCompile(`^(go_|process_|promhttp_|node_exporter_build_info|node_scrape_collector_)`)

// tolerances say how far a gauge may be from what it was a moment before and after. A counter, and a gauge that is not
// listed, must lie between the two.
var tolerances = []struct {
	family   *regexp.Regexp
	relative float64 // of the value
	absolute float64 // in the family's unit
}{
	{regexp.MustCompile(`^node_memory_`), 0.10, 64 << 20}, // two processes start and stop
	{regexp.MustCompile(`^node_filesystem_(free|avail)_`), 0.02, 64 << 20},
	{regexp.MustCompile(`^node_filesystem_files_free`), 0.02, 200},
	{regexp.MustCompile(`^node_(sockstat|netstat|nf_conntrack|filefd|arp)_`), 0.20, 30},
	{regexp.MustCompile(`^node_procs_`), 0, 20},
	{regexp.MustCompile(`^node_load`), 0.5, 0.5},
	{regexp.MustCompile(`^node_entropy_`), 0, 256},
	{regexp.MustCompile(`^node_timex_`), 1, 1e-3}, // the kernel's discipline moves
	{regexp.MustCompile(`^node_time_seconds`), 0, 3},
	{regexp.MustCompile(`^node_cpu_(scaling_)?frequency_`), 0.5, 0},
	{regexp.MustCompile(`^node_(hwmon|thermal_zone|cooling_device|power_supply)_`), 0.2, 5},
	{regexp.MustCompile(`^node_disk_io_now`), 0, 32},
	{regexp.MustCompile(`^node_udp_queues`), 0, 4096},
}

// different are the series that may differ, each with its reason.
var different = []struct {
	series *regexp.Regexp
	reason string
}{
	{regexp.MustCompile(`^node_textfile_scrape_error$`), "node_exporter says 0 even where there is no directory for text files"},
}

const (
	mostDifferent = 0.02
	attempts      = 5
)

// newerLabels are labels that newer node_exporters add to families that Debian's has too. The rest of the series must be equal.
var newerLabels = map[string]*regexp.Regexp{
	"node_network_info": regexp.MustCompile(`adminstate="[^"]*",?`),
	"node_disk_info":    regexp.MustCompile(`rotational="[^"]*",?`),
}

// older gives ours the labels of Debian's node_exporter.
func (e exposition) older() exposition {
	for series, v := range e.values {
		if newer := newerLabels[family(series)]; newer != nil {
			e.values[canonical(newer.ReplaceAllString(series, ""))] = v
		}
	}
	return e
}

// Every series of the real node_exporter is there, with its labels, its type, and its value.
func TestHostEqualsNodeExporter(t *testing.T) {
	exporter := free(t)
	start(t, "prometheus-node-exporter", "--web.listen-address="+exporter)
	eventually(t, 15*time.Second, func() error { _, err := get("http://" + exporter + "/metrics"); return err })
	a := startAgent(t, "global: {interval: 1s}\nbuffer: {path: %DIR%/buffer}\n")
	time.Sleep(1500 * time.Millisecond)

	// What another program does between two of the three readings may push a value out of its bounds, but not every time.
	var problems map[string]string
	var theirs, after exposition
	for range attempts {
		before := scrape(t, a.address).older()
		theirs = scrape(t, exporter)
		time.Sleep(1500 * time.Millisecond)
		after = scrape(t, a.address).older()
		found, unexcused := map[string]string{}, false
		for series := range theirs.values {
			if _, again := problems[series]; own.MatchString(series) || problems != nil && !again {
				continue
			}
			if p := compare(series, theirs, before, after); p != "" {
				found[series] = p
				unexcused = unexcused || excuse(series) == ""
			}
		}
		if problems = found; !unexcused {
			break
		}
	}
	var excused, wrong []string
	total := 0
	for series := range theirs.values {
		if !own.MatchString(series) {
			total++
		}
	}
	for _, series := range slices.Sorted(maps.Keys(problems)) {
		line := fmt.Sprintf("%s: %s", series, problems[series])
		if reason := excuse(series); reason != "" {
			excused = append(excused, line+" ("+reason+")")
		} else {
			wrong = append(wrong, line)
		}
	}
	if total < 200 {
		t.Errorf("node_exporter has only %d series: is it the real one?", total)
	}
	for _, w := range wrong {
		t.Error(w)
	}
	if float64(len(excused)) > mostDifferent*float64(total) {
		t.Errorf("%d of %d series are excused, more than %v", len(excused), total, mostDifferent)
	}
	ours := 0
	for series := range after.values {
		if _, both := theirs.values[series]; !both && strings.HasPrefix(series, "node_") {
			ours++
		}
	}
	t.Logf("%d series of node_exporter: %d equal, %d excused; %d node_* series of newer kinds come on top", total, total-len(excused)-len(wrong), len(excused), ours)
	for _, e := range excused {
		t.Log("excused: " + e)
	}
}

// excuse returns the reason why a series may differ, or "".
func excuse(series string) string {
	for _, d := range different {
		if d.series.MatchString(series) {
			return d.reason
		}
	}
	return ""
}

// compare says what is wrong with our view of a series; "" when nothing is.
func compare(series string, theirs, before, after exposition) string {
	v := theirs.values[series]
	low, ok := before.values[series]
	high, ok2 := after.values[series]
	if !ok || !ok2 {
		return "missing"
	}
	f := family(series)
	if theirs.types[f] != after.types[f] {
		return fmt.Sprintf("type %s, node_exporter says %s", after.types[f], theirs.types[f])
	}
	if math.IsNaN(v) && math.IsNaN(low) {
		return ""
	}
	low, high = min(low, high), max(low, high)
	low, high = low-1e-12*math.Abs(low), high+1e-12*math.Abs(high) // the last bit of a quotient
	for _, tol := range tolerances {
		if tol.family.MatchString(f) {
			slack := max(tol.absolute, tol.relative*math.Abs(v))
			low, high = low-slack, high+slack
			break
		}
	}
	if v < low || v > high {
		return fmt.Sprintf("between %v and %v here, %v there", low, high, v)
	}
	return ""
}
