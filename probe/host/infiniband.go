package host

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
)

var (
	ibInfo = &metric.Desc{Name: "node_infiniband_info", Help: "An InfiniBand or RoCE device, always 1.", Type: metric.Gauge,
		Labels: []string{"device", "board_id", "firmware_version", "hca_type"}}
	ibLifespan = ibDesc("lifespan_seconds", "Age that counters may have when they are read.", metric.Gauge)

	ibGauges = []row[sysfs.InfiniBandPort]{
		{ibDesc("state_id", "State of the port: 1 down, 2 init, 3 armed, 4 active, 5 deferred.", metric.Gauge), func(p *sysfs.InfiniBandPort) float64 { return float64(p.StateID) }},
		{ibDesc("physical_state_id", "Physical state of the port: 1 sleep, 2 polling, 3 disabled, 4 training, 5 up, 6 recovery, 7 test.", metric.Gauge), func(p *sysfs.InfiniBandPort) float64 { return float64(p.PhysStateID) }},
		{ibDesc("rate_bytes_per_second", "Rate of the link.", metric.Gauge), func(p *sysfs.InfiniBandPort) float64 { return float64(p.Rate) }},
	}
	ibDescs = append(slices.Concat(descs(ibGauges), optionalDescs(ibCounters)), ibInfo, ibLifespan)
)

var ibCounters = []optional[sysfs.InfiniBandPort, uint64]{
	{ibDesc("legacy_multicast_packets_received_total", "Multicast packets received, by the old 64-bit counters.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.LegacyPortMulticastRcvPackets }},
	{ibDesc("legacy_multicast_packets_transmitted_total", "Multicast packets sent, by the old 64-bit counters.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.LegacyPortMulticastXmitPackets }},
	{ibDesc("legacy_data_received_bytes_total", "Bytes received, by the old 64-bit counters.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.LegacyPortRcvData64 }},
	{ibDesc("legacy_packets_received_total", "Packets received, by the old 64-bit counters.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.LegacyPortRcvPackets64 }},
	{ibDesc("legacy_unicast_packets_received_total", "Unicast packets received, by the old 64-bit counters.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.LegacyPortUnicastRcvPackets }},
	{ibDesc("legacy_unicast_packets_transmitted_total", "Unicast packets sent, by the old 64-bit counters.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.LegacyPortUnicastXmitPackets }},
	{ibDesc("legacy_data_transmitted_bytes_total", "Bytes sent, by the old 64-bit counters.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.LegacyPortXmitData64 }},
	{ibDesc("legacy_packets_transmitted_total", "Packets sent, by the old 64-bit counters.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.LegacyPortXmitPackets64 }},
	{ibDesc("excessive_buffer_overrun_errors_total", "Buffer overruns over many flow control periods.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.ExcessiveBufferOverrunErrors }},
	{ibDesc("link_downed_total", "Times the link went down.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.LinkDowned }},
	{ibDesc("link_error_recovery_total", "Times the link recovered by itself.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.LinkErrorRecovery }},
	{ibDesc("local_link_integrity_errors_total", "Times local physical errors passed their threshold.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.LocalLinkIntegrityErrors }},
	{ibDesc("multicast_packets_received_total", "Multicast packets received, with errors.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.MulticastRcvPackets }},
	{ibDesc("multicast_packets_transmitted_total", "Multicast packets sent, with errors.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.MulticastXmitPackets }},
	{ibDesc("port_constraint_errors_received_total", "Packets received and discarded by a constraint.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.PortRcvConstraintErrors }},
	{ibDesc("port_constraint_errors_transmitted_total", "Packets not sent because of a constraint.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.PortXmitConstraintErrors }},
	{ibDesc("port_data_received_bytes_total", "Bytes received.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.PortRcvData }},
	{ibDesc("port_data_transmitted_bytes_total", "Bytes sent.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.PortXmitData }},
	{ibDesc("port_discards_received_total", "Packets received and discarded by the port.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.PortRcvDiscards }},
	{ibDesc("port_discards_transmitted_total", "Packets to send that the port discarded.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.PortXmitDiscards }},
	{ibDesc("port_errors_received_total", "Packets received with an error.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.PortRcvErrors }},
	{ibDesc("port_packets_received_total", "Packets received, with errors.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.PortRcvPackets }},
	{ibDesc("port_packets_transmitted_total", "Packets sent, with errors.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.PortXmitPackets }},
	{ibDesc("port_transmit_wait_total", "Ticks in which data waited but nothing was sent.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.PortXmitWait }},
	{ibDesc("unicast_packets_received_total", "Unicast packets received, with errors.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.UnicastRcvPackets }},
	{ibDesc("unicast_packets_transmitted_total", "Unicast packets sent, with errors.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.UnicastXmitPackets }},
	{ibDesc("port_receive_remote_physical_errors_total", "Packets received that were marked bad on the way.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.PortRcvRemotePhysicalErrors }},
	{ibDesc("port_receive_switch_relay_errors_total", "Packets that the switch could not forward.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.PortRcvSwitchRelayErrors }},
	{ibDesc("symbol_error_total", "Minor errors on physical lanes.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.SymbolError }},
	{ibDesc("vl15_dropped_total", "Management packets dropped for want of resources.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.Counters.VL15Dropped }},
	{ibDesc("duplicate_requests_packets_total", "Requests received again.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.DuplicateRequest }},
	{ibDesc("implied_nak_seq_errors_total", "Acknowledgements beyond the expected sequence.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.ImpliedNakSeqErr }},
	{ibDesc("local_ack_timeout_errors_total", "Acknowledgement timers that ran out.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.LocalAckTimeoutErr }},
	{ibDesc("np_cnp_packets_sent_total", "Congestion notifications sent.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.NpCnpSent }},
	{ibDesc("np_ecn_marked_roce_packets_received_total", "RoCEv2 packets received that were marked for congestion.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.NpEcnMarkedRocePackets }},
	{ibDesc("out_of_buffer_drops_total", "Packets dropped because no buffer was posted.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.OutOfBuffer }},
	{ibDesc("out_of_sequence_packets_received_total", "Packets received out of sequence.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.OutOfSequence }},
	{ibDesc("packet_sequence_errors_total", "Sequence errors that the other side reported.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.PacketSeqErr }},
	{ibDesc("req_cqes_errors_total", "Requests completed with an error.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.ReqCqeError }},
	{ibDesc("req_cqes_flush_errors_total", "Requests flushed with an error.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.ReqCqeFlushError }},
	{ibDesc("req_remote_access_errors_total", "Requests ended by a remote access error.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.ReqRemoteAccessErrors }},
	{ibDesc("req_remote_invalid_request_errors_total", "Requests that the other side called invalid.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.ReqRemoteInvalidRequest }},
	{ibDesc("resp_cqes_errors_total", "Responses completed with an error.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RespCqeError }},
	{ibDesc("resp_cqes_flush_errors_total", "Responses flushed with an error.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RespCqeFlushError }},
	{ibDesc("resp_local_length_errors_total", "Responses ended by a local length error.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RespLocalLengthError }},
	{ibDesc("resp_remote_access_errors_total", "Responses ended by a remote access error.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RespRemoteAccessErrors }},
	{ibDesc("rnr_nak_retry_packets_received_total", "Receiver-not-ready answers received.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RnrNakRetryErr }},
	{ibDesc("roce_adp_retransmits_total", "Adaptive retransmissions.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RoceAdpRetrans }},
	{ibDesc("roce_adp_retransmits_timeout_total", "Adaptive retransmissions that ran into the time limit.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RoceAdpRetransTo }},
	{ibDesc("roce_slow_restart_used_total", "Slow restarts used.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RoceSlowRestart }},
	{ibDesc("roce_slow_restart_cnps_total", "Slow restarts that made congestion notifications.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RoceSlowRestartCnps }},
	{ibDesc("roce_slow_restart_total", "Changes to slow restart.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RoceSlowRestartTrans }},
	{ibDesc("rp_cnp_packets_handled_total", "Congestion notifications that slowed sending.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RpCnpHandled }},
	{ibDesc("rp_cnp_ignored_packets_received_total", "Congestion notifications ignored.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RpCnpIgnored }},
	{ibDesc("rx_atomic_requests_total", "Atomic requests received.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RxAtomicRequests }},
	{ibDesc("rx_dct_connect_requests_total", "Connection requests received for dynamically connected transports.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RxDctConnect }},
	{ibDesc("rx_read_requests_total", "Read requests received.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RxReadRequests }},
	{ibDesc("rx_write_requests_total", "Write requests received.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RxWriteRequests }},
	{ibDesc("rx_icrc_encapsulated_errors_total", "RoCE packets received with a wrong checksum.", metric.Counter), func(p *sysfs.InfiniBandPort) *uint64 { return p.HwCounters.RxIcrcEncapsulated }},
}

func ibDesc(name, help string, typ metric.Type) *metric.Desc {
	return &metric.Desc{Name: "node_infiniband_" + name, Help: help, Type: typ, Unit: unitOf(name), Labels: []string{"device", "port"}}
}

// collectInfiniBand reads /sys/class/infiniband.
func collectInfiniBand(fs sysfs.FS, out *metric.Set) error {
	class, err := fs.InfiniBandClass()
	if err != nil {
		return fmt.Errorf("read InfiniBand devices: %w", err)
	}
	for _, name := range sortedKeys(class) {
		d := class[name]
		out.Add(ibInfo, 1, name, d.BoardID, d.FirmwareVersion, d.HCAType)
		for _, n := range slices.Sorted(maps.Keys(d.Ports)) {
			p, port := d.Ports[n], strconv.FormatUint(uint64(n), 10)
			addRows(out, ibGauges, &p, name, port)
			addOptionals(out, ibCounters, &p, 1, name, port)
			if ms := p.HwCounters.Lifespan; ms != nil {
				out.Add(ibLifespan, float64(*ms)/1000, name, port)
			}
		}
	}
	return nil
}
