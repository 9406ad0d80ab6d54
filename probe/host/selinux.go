package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	selinuxEnabled     = &metric.Desc{Name: "node_selinux_enabled", Help: "Whether SELinux is on.", Type: metric.Gauge}
	selinuxCurrentMode = &metric.Desc{Name: "node_selinux_current_mode", Help: "Mode at work: 1 enforcing, 0 permissive.", Type: metric.Gauge}
	selinuxConfigMode  = &metric.Desc{Name: "node_selinux_config_mode", Help: "Mode that the configuration sets: 1 enforcing, 0 permissive, -1 disabled.", Type: metric.Gauge}
	selinuxDescs       = []*metric.Desc{selinuxEnabled, selinuxCurrentMode, selinuxConfigMode}
)

// selinux reads /sys/fs/selinux/enforce and /etc/selinux/config; procfs' selinuxfs knows other files.
type selinux struct{ enforce, label, config string }

func newSELinux(_ func(any) error, env probe.Env) (probe.Probe, error) {
	return selinux{
		enforce: filepath.Join(env.Sys, "fs/selinux/enforce"),
		label:   filepath.Join(env.Proc, "self/attr/current"),
		config:  env.RootFile("/etc/selinux/config"),
	}, nil
}

func (p selinux) Collect(_ context.Context, out *metric.Set) error {
	text, err := readSys(p.enforce)
	if errors.Is(err, fs.ErrNotExist) {
		out.Add(selinuxEnabled, 0)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read SELinux mode: %w", err)
	}
	// Without a loaded policy everything runs as "kernel".
	if label, err := readSys(p.label); err == nil && strings.TrimRight(label, "\x00") == "kernel" {
		out.Add(selinuxEnabled, 0)
		return nil
	}
	mode, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("parse SELinux mode: %w", err)
	}
	out.Add(selinuxEnabled, 1)
	out.Add(selinuxCurrentMode, float64(mode))
	config, err := os.ReadFile(p.config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read SELinux configuration: %w", err)
	}
	out.Add(selinuxConfigMode, float64(selinuxMode(string(config))))
	return nil
}

// selinuxMode finds the mode that a configuration sets.
func selinuxMode(config string) int {
	for line := range strings.Lines(config) {
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(key) != "SELINUX" {
			continue
		}
		switch strings.Trim(strings.TrimSpace(value), `"`) {
		case "enforcing":
			return 1
		case "permissive":
			return 0
		}
		return -1
	}
	return -1
}
