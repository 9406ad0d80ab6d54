package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"headend-agent/internal/metric"
)

var (
	edacCE        = edacErrors("correctable_errors_total", "Memory errors of the controller that were corrected.", "controller")
	edacUE        = edacErrors("uncorrectable_errors_total", "Memory errors of the controller that were not corrected.", "controller")
	edacCsrowCE   = edacErrors("csrow_correctable_errors_total", "Corrected memory errors by chip-select row.", "controller", "csrow")
	edacCsrowUE   = edacErrors("csrow_uncorrectable_errors_total", "Uncorrected memory errors by chip-select row.", "controller", "csrow")
	edacChannelCE = edacErrors("channel_correctable_errors_total", "Corrected memory errors by channel.", "controller", "csrow", "channel", "dimm_label")
	edacChannelUE = edacErrors("channel_uncorrectable_errors_total", "Uncorrected memory errors by channel.", "controller", "csrow", "channel", "dimm_label")
	edacDescs     = []*metric.Desc{edacCE, edacUE, edacCsrowCE, edacCsrowUE, edacChannelCE, edacChannelUE}
)

func edacErrors(name, help string, labels ...string) *metric.Desc {
	return &metric.Desc{Name: "node_edac_" + name, Help: help, Type: metric.Counter, Labels: labels}
}

// collectEDAC reads /sys/devices/system/edac/mc, which procfs does not.
func collectEDAC(sys string, out *metric.Set) error {
	dir := filepath.Join(sys, "devices/system/edac/mc")
	controllers, err := numbered(dir, "mc")
	if err != nil {
		return err
	}
	for _, mc := range controllers {
		path := filepath.Join(dir, "mc"+mc)
		for _, c := range [...]struct {
			file   string
			desc   *metric.Desc
			labels []string
		}{
			{"ce_count", edacCE, []string{mc}},
			{"ce_noinfo_count", edacCsrowCE, []string{mc, "unknown"}},
			{"ue_count", edacUE, []string{mc}},
			{"ue_noinfo_count", edacCsrowUE, []string{mc, "unknown"}},
		} {
			n, err := readUint(filepath.Join(path, c.file))
			if err != nil {
				return fmt.Errorf("read memory controller %s: %w", mc, err)
			}
			out.Add(c.desc, float64(n), c.labels...)
		}
		csrows, err := numbered(path, "csrow")
		if err != nil {
			return err
		}
		for _, csrow := range csrows {
			if err := collectCsrow(filepath.Join(path, "csrow"+csrow), mc, csrow, out); err != nil {
				return fmt.Errorf("read memory controller %s: %w", mc, err)
			}
		}
	}
	return nil
}

func collectCsrow(path, mc, csrow string, out *metric.Set) error {
	ce, err := readUint(filepath.Join(path, "ce_count"))
	if err != nil {
		return err
	}
	ue, err := readUint(filepath.Join(path, "ue_count"))
	if err != nil {
		return err
	}
	out.Add(edacCsrowCE, float64(ce), mc, csrow)
	out.Add(edacCsrowUE, float64(ue), mc, csrow)
	files, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, f := range files {
		channel, ok := strings.CutSuffix(f.Name(), "_ce_count")
		number, isChannel := strings.CutPrefix(channel, "ch")
		if !ok || !isChannel || !allDigits(number) {
			continue
		}
		label := dimmLabel(filepath.Join(path, channel+"_dimm_label"))
		n, err := readUint(filepath.Join(path, f.Name()))
		if err != nil {
			return err
		}
		out.Add(edacChannelCE, float64(n), mc, csrow, number, label)
		// Few drivers count these by channel.
		if n, err := readUint(filepath.Join(path, channel+"_ue_count")); err == nil {
			out.Add(edacChannelUE, float64(n), mc, csrow, number, label)
		}
	}
	return nil
}

var dimmCleaner = strings.NewReplacer("#", "", "csrow", "_csrow", "channel", "_channel")

// dimmLabel returns where a module sits: the board's word, or mc0_csrow0_channel0 for the kernel's mc#0csrow#0channel#0.
func dimmLabel(path string) string {
	label, err := readSys(path)
	if err != nil {
		return "unknown"
	}
	return dimmCleaner.Replace(strings.TrimSpace(label))
}

// numbered lists what stands behind prefix in the names of a directory that end in a number.
func numbered(dir, prefix string) (numbers []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if n, ok := strings.CutPrefix(e.Name(), prefix); ok && allDigits(n) {
			numbers = append(numbers, n)
		}
	}
	return numbers, err
}

func allDigits(s string) bool { return s != "" && strings.Trim(s, digits) == "" }

// mountPoint is the open function of probes that read by themselves.
func mountPoint(mount string) (string, error) { return mount, nil }
