package host

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/prometheus/procfs/nfs"

	"headend-agent/internal/metric"
)

var (
	nfsPackets       = nfsDesc("node_nfs_packets_total", "Packets of the NFS client by protocol.", "protocol")
	nfsConnections   = nfsDesc("node_nfs_connections_total", "TCP connections of the NFS client.")
	nfsRPCs          = nfsDesc("node_nfs_rpcs_total", "Remote procedure calls of the NFS client.")
	nfsRPCRetransmit = nfsDesc("node_nfs_rpc_retransmissions_total", "Calls that were sent again.")
	nfsRPCAuth       = nfsDesc("node_nfs_rpc_authentication_refreshes_total", "Times credentials were renewed.")
	nfsRequests      = nfsDesc("node_nfs_requests_total", "Requests of the NFS client by version and procedure.", "proto", "method")
	nfsDescs         = []*metric.Desc{nfsPackets, nfsConnections, nfsRPCs, nfsRPCRetransmit, nfsRPCAuth, nfsRequests}

	nfsMethods2 = nfsMethods[nfs.V2Stats]()
	nfsMethods3 = nfsMethods[nfs.V3Stats]()
	nfsMethods4 = nfsMethods[nfs.ClientV4Stats]()
)

func nfsDesc(name, help string, labels ...string) *metric.Desc {
	return &metric.Desc{Name: name, Help: help, Type: metric.Counter, Labels: labels}
}

// nfsMethods lists the procedures of a protocol version: node_exporter's labels are the names of procfs' fields. Those in
// skip are empty.
func nfsMethods[T any](skip ...string) (methods []string) {
	t := reflect.TypeFor[T]()
	for i := range t.NumField() {
		name := t.Field(i).Name
		if slices.Contains(skip, name) {
			name = ""
		}
		methods = append(methods, name)
	}
	return methods
}

// addNFSRequests adds the fields of stats, a pointer to what methods were listed from.
func addNFSRequests(out *metric.Set, d *metric.Desc, proto string, methods []string, stats any) {
	v := reflect.ValueOf(stats).Elem()
	for i, method := range methods {
		if method != "" {
			out.Add(d, float64(v.Field(i).Uint()), proto, method)
		}
	}
}

// collectNFS reads /proc/net/rpc/nfs.
func collectNFS(fs nfs.FS, out *metric.Set) error {
	s, err := fs.ClientRPCStats()
	if err != nil {
		return fmt.Errorf("read NFS client statistics: %w", err)
	}
	out.Add(nfsPackets, float64(s.Network.UDPCount), "udp")
	out.Add(nfsPackets, float64(s.Network.TCPCount), "tcp")
	out.Add(nfsConnections, float64(s.Network.TCPConnect))
	out.Add(nfsRPCs, float64(s.ClientRPC.RPCCount))
	out.Add(nfsRPCRetransmit, float64(s.ClientRPC.Retransmissions))
	out.Add(nfsRPCAuth, float64(s.ClientRPC.AuthRefreshes))
	addNFSRequests(out, nfsRequests, "2", nfsMethods2, &s.V2Stats)
	addNFSRequests(out, nfsRequests, "3", nfsMethods3, &s.V3Stats)
	addNFSRequests(out, nfsRequests, "4", nfsMethods4, &s.ClientV4Stats)
	return nil
}
