package host

import (
	"fmt"
	"math"

	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
)

var (
	fcInfo = &metric.Desc{Name: "node_fibrechannel_info", Help: "A Fibre Channel host port, always 1.", Type: metric.Gauge,
		Labels: []string{"fc_host", "speed", "port_state", "port_type", "port_id", "port_name", "fabric_name", "symbolic_name",
			"supported_classes", "supported_speeds", "dev_loss_tmo"}}
	fcDescs = optionalDescs(fcCounters, fcInfo)
)

var fcCounters = []optional[sysfs.FibreChannelCounters, uint64]{
	{fcDesc("dumped_frames", "Frames dumped."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.DumpedFrames }},
	{fcDesc("error_frames", "Frames with errors."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.ErrorFrames }},
	{fcDesc("invalid_crc", "Frames with a wrong checksum."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.InvalidCRCCount }},
	{fcDesc("rx_frames", "Frames received."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.RXFrames }},
	{fcDesc("rx_words", "Words received."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.RXWords }},
	{fcDesc("tx_frames", "Frames sent."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.TXFrames }},
	{fcDesc("tx_words", "Words sent."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.TXWords }},
	{fcDesc("seconds_since_last_reset", "Seconds since the counters were reset."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.SecondsSinceLastReset }},
	{fcDesc("invalid_tx_words", "Invalid words sent."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.InvalidTXWordCount }},
	{fcDesc("link_failure", "Times the link failed."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.LinkFailureCount }},
	{fcDesc("loss_of_sync", "Times synchronization was lost."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.LossOfSyncCount }},
	{fcDesc("loss_of_signal", "Times the signal was lost."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.LossOfSignalCount }},
	{fcDesc("nos", "Not-operational sequences received."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.NosCount }},
	{fcDesc("fcp_packet_aborts", "Packets aborted."), func(c *sysfs.FibreChannelCounters) *uint64 { return c.FCPPacketAborts }},
}

func fcDesc(name, help string) *metric.Desc {
	return &metric.Desc{Name: "node_fibrechannel_" + name + "_total", Help: help, Type: metric.Counter, Labels: []string{"fc_host"}}
}

// collectFibreChannel reads /sys/class/fc_host.
func collectFibreChannel(fs sysfs.FS, out *metric.Set) error {
	class, err := fs.FibreChannelClass()
	if err != nil {
		return fmt.Errorf("read Fibre Channel hosts: %w", err)
	}
	for _, name := range sortedKeys(class) {
		h := class[name]
		out.Add(fcInfo, 1, name, orEmpty(h.Speed), orEmpty(h.PortState), orEmpty(h.PortType), orEmpty(h.PortID), orEmpty(h.PortName),
			orEmpty(h.FabricName), orEmpty(h.SymbolicName), orEmpty(h.SupportedClasses), orEmpty(h.SupportedSpeeds), orEmpty(h.DevLossTMO))
		for _, c := range fcCounters {
			// Firmware answers all ones for what it does not count.
			if n := c.value(h.Counters); n != nil && *n != math.MaxUint64 {
				out.Add(c.desc, float64(*n), name)
			}
		}
	}
	return nil
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
