// Package probetest runs probes over recorded machines in tests.
package probetest

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var update = flag.Bool("update", false, "rewrite golden files with what the probes emit now")

// Env is a machine recorded under dir, with proc, sys, dev and root below it.
func Env(t testing.TB, dir string) probe.Env {
	return probe.Env{
		Proc: filepath.Join(dir, "proc"), Sys: filepath.Join(dir, "sys"), Dev: filepath.Join(dir, "dev"), Root: filepath.Join(dir, "root"),
		Hostname: "edge-1", Tuners: &probe.TunerNames{}, Log: slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(string(bytes.TrimSpace(b)))
	return len(b), nil
}

// NoConfig is the decode function of a probe that the configuration does not mention.
func NoConfig(any) error { return nil }

// New makes a probe and fails the test where that is refused.
func New(t testing.TB, k probe.Kind, decode func(any) error, env probe.Env) probe.Probe {
	t.Helper()
	p, err := k.New(decode, env)
	if err != nil {
		t.Fatalf("%s: %v", k.Name, err)
	}
	return p
}

// Collect runs p once and returns what it found as a text exposition.
func Collect(p probe.Probe) (string, error) {
	s := metric.NewSet(metric.NewTable(), 100_000)
	err := p.Collect(context.Background(), s)
	var text metric.Text
	s.End(metric.Round{Source: "test"}, text.Add)
	var b bytes.Buffer
	text.WriteTo(&b)
	return b.String(), err
}

// Golden compares got with a golden file; `go test -update` writes it anew.
func Golden(t testing.TB, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs\n--- got\n%s--- want\n%s", path, got, want)
	}
}
