package host

import (
	"context"
	"fmt"
	"net"
	"path/filepath"

	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// NetclassConfig configures the probe "netclass".
type NetclassConfig struct {
	IgnoredDevices string `yaml:"ignored_devices"` // regular expression
}

// netclassRows pairs an attribute of a device with its family.
var (
	netclassRows = []struct {
		attribute string
		optional[sysfs.NetClassIface, int64]
	}{
		{"addr_assign_type", netclassRow("address_assign_type", "How the device got its address.", metric.Gauge, func(i *sysfs.NetClassIface) *int64 { return i.AddrAssignType })},
		{"carrier", netclassRow("carrier", "Whether the link is up.", metric.Gauge, func(i *sysfs.NetClassIface) *int64 { return i.Carrier })},
		{"carrier_changes", netclassRow("carrier_changes_total", "Times the link went up or down.", metric.Counter, func(i *sysfs.NetClassIface) *int64 { return i.CarrierChanges })},
		{"carrier_up_count", netclassRow("carrier_up_changes_total", "Times the link went up.", metric.Counter, func(i *sysfs.NetClassIface) *int64 { return i.CarrierUpCount })},
		{"carrier_down_count", netclassRow("carrier_down_changes_total", "Times the link went down.", metric.Counter, func(i *sysfs.NetClassIface) *int64 { return i.CarrierDownCount })},
		{"dev_id", netclassRow("device_id", "Number among devices that share an address.", metric.Gauge, func(i *sysfs.NetClassIface) *int64 { return i.DevID })},
		{"dormant", netclassRow("dormant", "Whether the device waits for something else to bring it up.", metric.Gauge, func(i *sysfs.NetClassIface) *int64 { return i.Dormant })},
		{"flags", netclassRow("flags", "Flags of the device, as in netdevice(7).", metric.Gauge, func(i *sysfs.NetClassIface) *int64 { return i.Flags })},
		{"ifindex", netclassRow("iface_id", "Index of the device.", metric.Gauge, func(i *sysfs.NetClassIface) *int64 { return i.IfIndex })},
		{"iflink", netclassRow("iface_link", "Index of the device that this one is linked to.", metric.Gauge, func(i *sysfs.NetClassIface) *int64 { return i.IfLink })},
		{"link_mode", netclassRow("iface_link_mode", "Whether the link's state is told by user space.", metric.Gauge, func(i *sysfs.NetClassIface) *int64 { return i.LinkMode })},
		{"mtu", netclassRow("mtu_bytes", "Largest packet.", metric.Gauge, func(i *sysfs.NetClassIface) *int64 { return i.MTU })},
		{"name_assign_type", netclassRow("name_assign_type", "How the device got its name.", metric.Gauge, func(i *sysfs.NetClassIface) *int64 { return i.NameAssignType })},
		{"netdev_group", netclassRow("net_dev_group", "Group of the device.", metric.Gauge, func(i *sysfs.NetClassIface) *int64 { return i.NetDevGroup })},
		{"speed", netclassRow("speed_bytes", "Speed of the link in bytes per second; negative where the driver does not know it.", metric.Gauge, bytesOfSpeed)},
		{"tx_queue_len", netclassRow("transmit_queue_length", "Packets that may wait to be sent.", metric.Gauge, func(i *sysfs.NetClassIface) *int64 { return i.TxQueueLen })},
		{"type", netclassRow("protocol_type", "Kind of hardware, as ARP numbers it.", metric.Gauge, func(i *sysfs.NetClassIface) *int64 { return i.Type })},
	}
	netclassTexts = []string{"address", "broadcast", "duplex", "operstate", "ifalias"}

	netclassUp   = &metric.Desc{Name: "node_network_up", Help: "Whether the device's state is \"up\".", Type: metric.Gauge, Labels: byDevice}
	netclassInfo = &metric.Desc{Name: "node_network_info", Help: "What /sys/class/net says in words, value 1.", Type: metric.Gauge,
		Labels: []string{"device", "address", "broadcast", "duplex", "operstate", "adminstate", "ifalias"}}
)

func netclassRow(name, help string, typ metric.Type, value func(*sysfs.NetClassIface) *int64) optional[sysfs.NetClassIface, int64] {
	return optional[sysfs.NetClassIface, int64]{&metric.Desc{Name: "node_network_" + name, Help: help, Type: typ, Labels: byDevice}, value}
}

func netclassDescs() []*metric.Desc {
	all := []*metric.Desc{netclassUp, netclassInfo}
	for _, r := range netclassRows {
		all = append(all, r.desc)
	}
	return all
}

// bytesOfSpeed makes bytes of the Mbit that the kernel tells, -1 of them included.
func bytesOfSpeed(i *sysfs.NetClassIface) *int64 {
	if i.Speed == nil {
		return nil
	}
	n := *i.Speed * 1000 * 1000 / 8
	return &n
}

// netclass reads /sys/class/net, only those files of it that it needs: some drivers are slow to answer.
type netclass struct {
	fs     sysfs.FS
	dir    string
	ignore exclusion
	boot   bootTime
}

func newNetclass(decode func(any) error, env probe.Env) (probe.Probe, error) {
	c := NetclassConfig{IgnoredDevices: "^$"}
	if err := decode(&c); err != nil {
		return nil, err
	}
	ignore, err := compileExclusion("ignored_devices", c.IgnoredDevices)
	if err != nil {
		return nil, err
	}
	fs, err := sysfs.NewFS(env.Sys)
	if err != nil {
		return nil, fmt.Errorf("open sysfs: %w", err)
	}
	boot, err := newBootTime(env)
	if err != nil {
		return nil, err
	}
	return &netclass{fs, filepath.Join(env.Sys, "class/net"), ignore, boot}, nil
}

func (p *netclass) Collect(_ context.Context, out *metric.Set) error {
	devices, err := p.fs.NetClassDevices()
	if err != nil {
		return fmt.Errorf("list network devices: %w", err)
	}
	for _, d := range devices {
		if p.ignore.has(d) {
			continue
		}
		if err := p.collectDevice(d, out); err != nil {
			return fmt.Errorf("read network device %s: %w", d, err)
		}
	}
	p.boot.mark(out)
	return nil
}

func (p *netclass) collectDevice(device string, out *metric.Set) error {
	var i sysfs.NetClassIface
	path := filepath.Join(p.dir, device)
	for _, r := range netclassRows {
		if err := sysfs.ParseNetClassAttribute(path, r.attribute, &i); err != nil {
			return err
		}
	}
	for _, a := range netclassTexts {
		if err := sysfs.ParseNetClassAttribute(path, a, &i); err != nil {
			return err
		}
	}
	if i.IfIndex == nil { // gone since it was listed
		return nil
	}
	up := 0.0
	if i.OperState == "up" {
		up = 1
	}
	out.Add(netclassUp, up, device)
	out.Add(netclassInfo, 1, device, i.Address, i.Broadcast, i.Duplex, i.OperState, adminState(i.Flags), i.IfAlias)
	for _, r := range netclassRows {
		if v := r.value(&i); v != nil {
			out.Add(r.desc, float64(*v), device)
		}
	}
	return nil
}

func adminState(flags *int64) string {
	switch {
	case flags == nil:
		return "unknown"
	case *flags&int64(net.FlagUp) != 0:
		return "up"
	}
	return "down"
}
