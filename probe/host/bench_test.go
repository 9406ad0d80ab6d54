package host

import (
	"log/slog"
	"testing"

	"headend-agent/internal/metric"
	"headend-agent/probe"
	"headend-agent/probe/probetest"
)

// BenchmarkCollect runs each probe over this machine, in the steady state.
func BenchmarkCollect(b *testing.B) {
	env := probe.Env{Proc: "/proc", Sys: "/sys", Dev: "/dev", Root: "/", Hostname: "edge-1", Log: slog.New(slog.DiscardHandler)}
	for _, k := range Kinds() {
		b.Run(k.Name, func(b *testing.B) {
			p := probetest.New(b, k, probetest.NoConfig, env)
			s := metric.NewSet(metric.NewTable(), 100_000)
			b.ReportAllocs()
			for b.Loop() {
				s.Reset()
				if err := p.Collect(b.Context(), s); err != nil {
					b.Skip(err)
				}
				s.End(metric.Round{Source: "bench"}, func(metric.Round) {})
			}
			b.ReportMetric(float64(s.Len()), "series")
		})
	}
}

// BenchmarkRound runs all probes of the host, one after the other: the CPU time of one round.
func BenchmarkRound(b *testing.B) {
	env := probe.Env{Proc: "/proc", Sys: "/sys", Dev: "/dev", Root: "/", Hostname: "edge-1", Log: slog.New(slog.DiscardHandler)}
	table, samples := metric.NewTable(), 0
	type pair struct {
		probe probe.Probe
		set   *metric.Set
	}
	var all []pair
	for _, k := range Kinds() {
		if k.Auto(env) {
			all = append(all, pair{probetest.New(b, k, probetest.NoConfig, env), metric.NewSet(table, 100_000)})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		samples = 0
		for _, p := range all {
			p.set.Reset()
			if err := p.probe.Collect(b.Context(), p.set); err != nil {
				continue // not on this machine
			}
			p.set.End(metric.Round{Source: "bench"}, func(r metric.Round) { samples += len(r.Values) })
		}
	}
	b.ReportMetric(float64(samples), "series")
}
