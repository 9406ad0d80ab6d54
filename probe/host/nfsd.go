package host

import (
	"fmt"

	"github.com/prometheus/procfs/nfs"

	"headend-agent/internal/metric"
)

var (
	nfsdParts = []row[nfs.ServerRPCStats]{
		{nfsDesc("node_nfsd_reply_cache_hits_total", "Replies from the cache: the client had lost one."), func(s *nfs.ServerRPCStats) float64 { return float64(s.ReplyCache.Hits) }},
		{nfsDesc("node_nfsd_reply_cache_misses_total", "Operations that went into the reply cache."), func(s *nfs.ServerRPCStats) float64 { return float64(s.ReplyCache.Misses) }},
		{nfsDesc("node_nfsd_reply_cache_nocache_total", "Operations that need no reply cache."), func(s *nfs.ServerRPCStats) float64 { return float64(s.ReplyCache.NoCache) }},
		{nfsDesc("node_nfsd_file_handles_stale_total", "Stale file handles."), func(s *nfs.ServerRPCStats) float64 { return float64(s.FileHandles.Stale) }},
		{nfsDesc("node_nfsd_disk_bytes_read_total", "Bytes that the NFS server has read."), func(s *nfs.ServerRPCStats) float64 { return float64(s.InputOutput.Read) }},
		{nfsDesc("node_nfsd_disk_bytes_written_total", "Bytes that the NFS server has written."), func(s *nfs.ServerRPCStats) float64 { return float64(s.InputOutput.Write) }},
		{nfsdGauge("node_nfsd_server_threads", "Threads of the NFS server."), func(s *nfs.ServerRPCStats) float64 { return float64(s.Threads.Threads) }},
		{nfsdGauge("node_nfsd_read_ahead_cache_size_blocks", "Size of the read-ahead cache in blocks."), func(s *nfs.ServerRPCStats) float64 { return float64(s.ReadAheadCache.CacheSize) }},
		{nfsDesc("node_nfsd_read_ahead_cache_not_found_total", "Lookups that missed the read-ahead cache."), func(s *nfs.ServerRPCStats) float64 { return float64(s.ReadAheadCache.NotFound) }},
		{nfsDesc("node_nfsd_connections_total", "TCP connections of the NFS server."), func(s *nfs.ServerRPCStats) float64 { return float64(s.Network.TCPConnect) }},
		{nfsDesc("node_nfsd_server_rpcs_total", "Remote procedure calls of the NFS server."), func(s *nfs.ServerRPCStats) float64 { return float64(s.ServerRPC.RPCCount) }},
	}
	nfsdPackets   = nfsDesc("node_nfsd_packets_total", "Packets of the NFS server by protocol.", "proto")
	nfsdRPCErrors = nfsDesc("node_nfsd_rpc_errors_total", "Refused calls by reason.", "error")
	nfsdRequests  = nfsDesc("node_nfsd_requests_total", "Requests of the NFS server by version and procedure.", "proto", "method")
	nfsdDescs     = descs(nfsdParts, nfsdPackets, nfsdRPCErrors, nfsdRequests)

	// What node_exporter leaves out.
	nfsdMethods2 = nfsMethods[nfs.V2Stats]("Null")
	nfsdMethods3 = nfsMethods[nfs.V3Stats]("Null")
	nfsdMethods4 = nfsMethods[nfs.V4Ops]("Op0Unused", "Op1Unused", "Op2Future", "PutPubFH", "PutRootFH")
)

func nfsdGauge(name, help string) *metric.Desc {
	return &metric.Desc{Name: name, Help: help, Type: metric.Gauge}
}

// collectNFSd reads /proc/net/rpc/nfsd.
func collectNFSd(fs nfs.FS, out *metric.Set) error {
	s, err := fs.ServerRPCStats()
	if err != nil {
		return fmt.Errorf("read NFS server statistics: %w", err)
	}
	addRows(out, nfsdParts, s)
	out.Add(nfsdPackets, float64(s.Network.UDPCount), "udp")
	out.Add(nfsdPackets, float64(s.Network.TCPCount), "tcp")
	out.Add(nfsdRPCErrors, float64(s.ServerRPC.BadFmt), "fmt")
	out.Add(nfsdRPCErrors, float64(s.ServerRPC.BadAuth), "auth")
	out.Add(nfsdRPCErrors, float64(s.ServerRPC.BadcInt), "cInt")
	addNFSRequests(out, nfsdRequests, "2", nfsdMethods2, &s.V2Stats)
	addNFSRequests(out, nfsdRequests, "3", nfsdMethods3, &s.V3Stats)
	addNFSRequests(out, nfsdRequests, "4", nfsdMethods4, &s.V4Ops)
	out.Add(nfsdRequests, float64(s.WdelegGetattr), "4", "WdelegGetattr")
	return nil
}
