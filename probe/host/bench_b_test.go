package host

import (
	"context"
	"path/filepath"
	"testing"

	"headend-agent/internal/metric"
	"headend-agent/probe"
	"headend-agent/probe/probetest"
)

// BenchmarkHardware is a steady round of each probe over its recorded machine, and over one that lacks the hardware.
func BenchmarkHardware(b *testing.B) {
	for _, name := range hardware {
		b.Run(name, func(b *testing.B) { benchmarkRound(b, name, probetest.Env(b, filepath.Join("testdata", name))) })
	}
	empty := newMachine(b).env()
	for _, name := range hardware {
		b.Run("absent/"+name, func(b *testing.B) { benchmarkRound(b, name, empty) })
	}
}

func benchmarkRound(b *testing.B, name string, env probe.Env) {
	p := probetest.New(b, kind(b, name), probetest.NoConfig, env)
	s := metric.NewSet(metric.NewTable(), 100_000)
	yield := func(metric.Round) {}
	b.ReportAllocs()
	for b.Loop() {
		s.Reset()
		if err := p.Collect(context.Background(), s); err != nil {
			b.Fatal(err)
		}
		s.End(metric.Round{}, yield)
	}
}
