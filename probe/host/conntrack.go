package host

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	conntrackEntries = &metric.Desc{Name: "node_nf_conntrack_entries", Help: "Connections that are tracked now.", Type: metric.Gauge}
	conntrackLimit   = &metric.Desc{Name: "node_nf_conntrack_entries_limit", Help: "Connections that can be tracked at once.", Type: metric.Gauge}

	// node_exporter calls these counters gauges.
	conntrackStats = []row[procfs.ConntrackStatEntry]{
		{conntrackStat("found", "Lookups that found their entry."), func(s *procfs.ConntrackStatEntry) float64 { return float64(s.Found) }},
		{conntrackStat("invalid", "Packets that cannot be tracked."), func(s *procfs.ConntrackStatEntry) float64 { return float64(s.Invalid) }},
		{conntrackStat("ignore", "Packets of connections that were known already."), func(s *procfs.ConntrackStatEntry) float64 { return float64(s.Ignore) }},
		{conntrackStat("insert", "Entries inserted."), func(s *procfs.ConntrackStatEntry) float64 { return float64(s.Insert) }},
		{conntrackStat("insert_failed", "Entries that could not be inserted."), func(s *procfs.ConntrackStatEntry) float64 { return float64(s.InsertFailed) }},
		{conntrackStat("drop", "Packets dropped because tracking failed."), func(s *procfs.ConntrackStatEntry) float64 { return float64(s.Drop) }},
		{conntrackStat("early_drop", "Entries removed to make room in a full table."), func(s *procfs.ConntrackStatEntry) float64 { return float64(s.EarlyDrop) }},
		{conntrackStat("search_restart", "Lookups begun again because the table was resized."), func(s *procfs.ConntrackStatEntry) float64 { return float64(s.SearchRestart) }},
	}
	conntrackDescs = descs(conntrackStats, conntrackEntries, conntrackLimit)
)

func conntrackStat(name, help string) *metric.Desc {
	return &metric.Desc{Name: "node_nf_conntrack_stat_" + name, Help: help, Type: metric.Gauge}
}

// conntrack reads /proc/sys/net/netfilter/nf_conntrack_{count,max} and /proc/net/stat/nf_conntrack. All are absent while
// the kernel tracks nothing.
type conntrack struct{ fs procfs.FS }

func newConntrack(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return conntrack{fs}, nil
}

func (p conntrack) Collect(_ context.Context, out *metric.Set) error {
	for _, s := range []struct {
		key  string
		desc *metric.Desc
	}{{"net.netfilter.nf_conntrack_count", conntrackEntries}, {"net.netfilter.nf_conntrack_max", conntrackLimit}} {
		n, err := p.fs.SysctlInts(s.key)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return fmt.Errorf("read %s: %w", s.key, err)
		case len(n) == 1:
			out.Add(s.desc, float64(n[0]))
		}
	}
	cpus, err := p.fs.ConntrackStat()
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read nf_conntrack: %w", err)
	}
	for _, r := range conntrackStats {
		sum := 0.0
		for i := range cpus {
			sum += r.value(&cpus[i])
		}
		out.Add(r.desc, sum)
	}
	return nil
}
