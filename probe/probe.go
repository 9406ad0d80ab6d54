// Package probe says what a probe is and runs probes: when, for how long, and what becomes of what they find.
package probe

import (
	"context"
	"log/slog"
	"path/filepath"

	"headend-agent/internal/metric"
)

// Probe reads one source.
type Probe interface {
	// Collect adds what the source says now. An error makes all of the probe's series stale, so what can be absent
	// on a healthy machine is no error but no sample. Collect may be abandoned when ctx ends: its result is discarded,
	// and it is not called again before it has returned. out belongs to this run alone.
	Collect(ctx context.Context, out *metric.Set) error
}

// Heir is a Probe that holds something between runs, like an open process or what it has learnt, and hands it on when the configuration
// is read again.
type Heir interface {
	// Inherit takes over what before holds, ahead of the first run. before is of the same source, and not used again; an abandoned run
	// of it may still be under way, but is over when the first run begins.
	Inherit(before Probe)
}

// Kind is one way to make probes.
type Kind struct {
	Name  string         // the key in the configuration, and the label "probe"
	Auto  func(Env) bool // found on this machine: runs without a configuration section; nil means never
	Descs []*metric.Desc // what it can emit, for METRICS.md

	// New makes a probe. decode fills a pointer to the probe's configuration struct, strictly; where the file says
	// nothing it leaves the struct as it is. Errors are about the configuration alone: trouble with the source belongs in Collect.
	New func(decode func(any) error, env Env) (Probe, error)
}

// Env is the machine as a probe sees it. Its paths let tests and containers show another one.
type Env struct {
	Proc     string // mount point of procfs, /proc
	Sys      string // mount point of sysfs, /sys
	Root     string // of the file systems to look at, /
	Dev      string // device nodes, /dev
	Hostname string
	Tuners   *TunerNames  // what this machine's media servers call its tuners
	Log      *slog.Logger // named after the probe; write to it on changes of state only

	// Owners tells which probe that runs has which of the vendor's names, flussonic_*: a probe that relays what others write leaves
	// those out, since a name has one owner. It is complete when the first probe runs.
	Owners map[string]string
}

// RootFile returns where a file of the machine, like /etc/os-release, is found.
func (e Env) RootFile(path string) string { return filepath.Join(e.Root, path) }
