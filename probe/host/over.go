package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// over is a probe without state: one function over a mounted file system of the kernel's.
type over[F any] struct {
	fs      F
	collect func(F, *metric.Set) error
}

// Collect takes a missing file as hardware or a module that this machine has not.
func (p over[F]) Collect(_ context.Context, out *metric.Set) error {
	if err := p.collect(p.fs, out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

type newFunc = func(decode func(any) error, env probe.Env) (probe.Probe, error)

func overSys[F any](open func(string) (F, error), collect func(F, *metric.Set) error) newFunc {
	return func(_ func(any) error, env probe.Env) (probe.Probe, error) {
		fs, err := open(env.Sys)
		if err != nil {
			return nil, fmt.Errorf("open sysfs: %w", err)
		}
		return over[F]{fs, collect}, nil
	}
}

func overProc[F any](open func(string) (F, error), collect func(F, *metric.Set) error) newFunc {
	return func(_ func(any) error, env probe.Env) (probe.Probe, error) {
		fs, err := open(env.Proc)
		if err != nil {
			return nil, fmt.Errorf("open procfs: %w", err)
		}
		return over[F]{fs, collect}, nil
	}
}

// sysHas is Auto for what cannot come while the machine runs.
func sysHas(path string) func(probe.Env) bool {
	return func(env probe.Env) bool { return exists(filepath.Join(env.Sys, path)) }
}

// procHas is sysHas for procfs.
func procHas(path string) func(probe.Env) bool {
	return func(env probe.Env) bool { return exists(filepath.Join(env.Proc, path)) }
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// addRows adds the families of rows.
func addRows[T any](out *metric.Set, rows []row[T], v *T, labels ...string) {
	for _, r := range rows {
		out.Add(r.desc, r.value(v), labels...)
	}
}

// addOptionals adds what is there, divided by unit to base units.
func addOptionals[T any, N int64 | uint64](out *metric.Set, rows []optional[T, N], v *T, unit float64, labels ...string) {
	for _, r := range rows {
		if n := r.value(v); n != nil {
			out.Add(r.desc, float64(*n)/unit, labels...)
		}
	}
}

// sortedKeys gives map keys the same order in every round, which keeps a steady round free of allocations.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// unitOf finds the unit that a family's name ends in.
func unitOf(name string) metric.Unit {
	name = strings.TrimSuffix(name, "_total")
	for _, u := range [...]metric.Unit{metric.Bytes, metric.Seconds, metric.Percent, metric.Ratio} {
		if strings.HasSuffix(name, "_"+string(u)) {
			return u
		}
	}
	return metric.None
}
