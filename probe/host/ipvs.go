package host

import (
	"fmt"
	"net"
	"strconv"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
)

var (
	ipvsTotals = []row[procfs.IPVSStats]{
		{ipvsTotal("connections", "connections made."), func(s *procfs.IPVSStats) float64 { return float64(s.Connections) }},
		{ipvsTotal("incoming_packets", "packets in."), func(s *procfs.IPVSStats) float64 { return float64(s.IncomingPackets) }},
		{ipvsTotal("outgoing_packets", "packets out."), func(s *procfs.IPVSStats) float64 { return float64(s.OutgoingPackets) }},
		{ipvsTotal("incoming_bytes", "bytes in."), func(s *procfs.IPVSStats) float64 { return float64(s.IncomingBytes) }},
		{ipvsTotal("outgoing_bytes", "bytes out."), func(s *procfs.IPVSStats) float64 { return float64(s.OutgoingBytes) }},
	}
	ipvsActive   = ipvsBackend("connections_active", "Active connections to the backend.")
	ipvsInactive = ipvsBackend("connections_inactive", "Inactive connections to the backend.")
	ipvsWeight   = ipvsBackend("weight", "Weight of the backend.")
	ipvsDescs    = descs(ipvsTotals, ipvsActive, ipvsInactive, ipvsWeight)
)

func ipvsTotal(name, help string) *metric.Desc {
	return &metric.Desc{Name: "node_ipvs_" + name + "_total", Help: "IP virtual server: " + help, Type: metric.Counter}
}

func ipvsBackend(name, help string) *metric.Desc {
	return &metric.Desc{Name: "node_ipvs_backend_" + name, Help: help, Type: metric.Gauge,
		Labels: []string{"local_address", "local_port", "remote_address", "remote_port", "proto", "local_mark"}}
}

// collectIPVS reads /proc/net/ip_vs_stats and ip_vs.
func collectIPVS(fs procfs.FS, out *metric.Set) error {
	totals, err := fs.IPVSStats()
	if err != nil {
		return fmt.Errorf("read IPVS statistics: %w", err)
	}
	addRows(out, ipvsTotals, &totals)
	backends, err := fs.IPVSBackendStatus()
	if err != nil {
		return fmt.Errorf("read IPVS backends: %w", err)
	}
	// One backend can stand under several services that have the same labels.
	type sum struct{ active, inactive, weight uint64 }
	sums := make(map[[6]string]sum, len(backends))
	var order [][6]string
	for _, b := range backends {
		key := [6]string{address(b.LocalAddress), strconv.Itoa(int(b.LocalPort)), address(b.RemoteAddress), strconv.Itoa(int(b.RemotePort)), b.Proto, b.LocalMark}
		s, seen := sums[key]
		if !seen {
			order = append(order, key)
		}
		sums[key] = sum{s.active + b.ActiveConn, s.inactive + b.InactConn, s.weight + b.Weight}
	}
	for _, key := range order {
		s := sums[key]
		out.Add(ipvsActive, float64(s.active), key[:]...)
		out.Add(ipvsInactive, float64(s.inactive), key[:]...)
		out.Add(ipvsWeight, float64(s.weight), key[:]...)
	}
	return nil
}

func address(ip net.IP) string {
	if ip == nil {
		return ""
	}
	return ip.String()
}
