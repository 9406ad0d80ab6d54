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

// guarded turns a panic of a parser into an error: procfs v0.23.0 indexes beyond some files that are cut short, and what a
// file holds must cost one round, not the probe.
func guarded[T any](what string, read func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("parse %s: %v", what, r)
		}
	}()
	return read()
}

// part pairs a family with where its value is in T.
type part[T any] struct {
	desc  *metric.Desc
	value func(*T) float64
}

// maybe is a part that is nil where the machine has not got it.
type maybe[T any, N int64 | uint64] struct {
	desc  *metric.Desc
	value func(*T) *N
}

func addParts[T any](out *metric.Set, parts []part[T], v *T, labels ...string) {
	for _, p := range parts {
		out.Add(p.desc, p.value(v), labels...)
	}
}

// addMaybes adds what is there, divided by unit to base units.
func addMaybes[T any, N int64 | uint64](out *metric.Set, parts []maybe[T, N], v *T, unit float64, labels ...string) {
	for _, p := range parts {
		if n := p.value(v); n != nil {
			out.Add(p.desc, float64(*n)/unit, labels...)
		}
	}
}

func partDescs[T any](parts []part[T]) (ds []*metric.Desc) {
	for _, p := range parts {
		ds = append(ds, p.desc)
	}
	return ds
}

func maybeDescs[T any, N int64 | uint64](parts []maybe[T, N]) (ds []*metric.Desc) {
	for _, p := range parts {
		ds = append(ds, p.desc)
	}
	return ds
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
