package host

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var arpEntries = &metric.Desc{Name: "node_arp_entries", Help: "Entries of the ARP table.", Type: metric.Gauge, Labels: byDevice}

// arp reads /proc/net/arp.
type arp struct{ fs procfs.FS }

func newARP(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return arp{fs}, nil
}

func (p arp) Collect(_ context.Context, out *metric.Set) error {
	entries, err := p.fs.GatherARPEntries()
	if err != nil {
		return fmt.Errorf("read ARP table: %w", err)
	}
	slices.SortFunc(entries, func(a, b procfs.ARPEntry) int { return strings.Compare(a.Device, b.Device) })
	for from, to := 0, 0; from < len(entries); from = to {
		for to = from; to < len(entries) && entries[to].Device == entries[from].Device; to++ {
		}
		out.Add(arpEntries, float64(to-from), entries[from].Device)
	}
	return nil
}
