package host

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// NetworkConfig configures the probe "network".
type NetworkConfig struct {
	DeviceExclude string `yaml:"device_exclude"` // regular expression; the default, empty, leaves out none
}

var (
	networkRows = []row[procfs.NetDevLine]{
		networkRow("receive_bytes", "Bytes received.", metric.Bytes, func(l *procfs.NetDevLine) uint64 { return l.RxBytes }),
		networkRow("receive_packets", "Packets received.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.RxPackets }),
		networkRow("receive_errs", "Receive errors.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.RxErrors }),
		networkRow("receive_drop", "Received packets dropped or missed.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.RxDropped }),
		networkRow("receive_fifo", "Receive FIFO overruns.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.RxFIFO }),
		networkRow("receive_frame", "Received frames with a bad length, checksum or alignment.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.RxFrame }),
		networkRow("receive_compressed", "Compressed packets received.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.RxCompressed }),
		networkRow("receive_multicast", "Multicast packets received.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.RxMulticast }),
		networkRow("transmit_bytes", "Bytes sent.", metric.Bytes, func(l *procfs.NetDevLine) uint64 { return l.TxBytes }),
		networkRow("transmit_packets", "Packets sent.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.TxPackets }),
		networkRow("transmit_errs", "Transmit errors.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.TxErrors }),
		networkRow("transmit_drop", "Packets dropped on the way out.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.TxDropped }),
		networkRow("transmit_fifo", "Transmit FIFO underruns.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.TxFIFO }),
		networkRow("transmit_colls", "Collisions.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.TxCollisions }),
		networkRow("transmit_carrier", "Packets lost to carrier and other transmit faults.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.TxCarrier }),
		networkRow("transmit_compressed", "Compressed packets sent.", metric.None, func(l *procfs.NetDevLine) uint64 { return l.TxCompressed }),
		{&metric.Desc{Name: "flussonic_net_input_bytes", Help: "Bytes received.", Type: metric.Counter, Unit: metric.Bytes, Labels: []string{"interface"}},
			func(l *procfs.NetDevLine) float64 { return float64(l.RxBytes) }},
		{&metric.Desc{Name: "flussonic_net_output_bytes", Help: "Bytes sent.", Type: metric.Counter, Unit: metric.Bytes, Labels: []string{"interface"}},
			func(l *procfs.NetDevLine) float64 { return float64(l.TxBytes) }},
	}
	networkNoHandler = &metric.Desc{Name: "node_network_receive_nohandler_total", Help: "Received packets that nothing wanted.", Type: metric.Counter, Labels: byDevice}
	networkDescs     = descs(networkRows, networkNoHandler)
)

func networkRow(name, help string, unit metric.Unit, value func(*procfs.NetDevLine) uint64) row[procfs.NetDevLine] {
	return row[procfs.NetDevLine]{
		&metric.Desc{Name: "node_network_" + name + "_total", Help: help, Type: metric.Counter, Unit: unit, Labels: byDevice},
		func(l *procfs.NetDevLine) float64 { return float64(value(l)) },
	}
}

// network reads /proc/net/dev, and rx_nohandler, which is not in it, from /sys/class/net/DEVICE/statistics.
type network struct {
	fs      procfs.FS
	sys     string
	exclude exclusion
	boot    bootTime
	buf     []byte
	names   []string
}

func newNetwork(decode func(any) error, env probe.Env) (probe.Probe, error) {
	var c NetworkConfig
	if err := decode(&c); err != nil {
		return nil, err
	}
	exclude, err := compileExclusion("device_exclude", c.DeviceExclude)
	if err != nil {
		return nil, err
	}
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return &network{fs: fs, sys: filepath.Join(env.Sys, "class/net"), exclude: exclude, boot: bootTime{fs: fs}}, nil
}

func (p *network) Collect(_ context.Context, out *metric.Set) error {
	lines, err := guarded(p.fs.NetDev)
	if err != nil {
		return fmt.Errorf("read net/dev: %w", err)
	}
	p.names = slices.AppendSeq(p.names[:0], maps.Keys(lines))
	slices.Sort(p.names)
	for _, device := range p.names {
		if p.exclude.has(device) {
			continue
		}
		l := lines[device]
		for _, r := range networkRows {
			out.Add(r.desc, r.value(&l), device)
		}
		if n, ok := p.noHandler(device); ok {
			out.Add(networkNoHandler, n, device)
		}
	}
	p.boot.mark(out)
	return nil
}

// noHandler reads a counter that kernels before 4.6 do not have.
func (p *network) noHandler(device string) (float64, bool) {
	if strings.ContainsRune(device, os.PathSeparator) {
		return 0, false
	}
	b, err := readFile(p.sys+"/"+device+"/statistics/rx_nohandler", p.buf)
	p.buf = b
	if err != nil {
		return 0, false
	}
	word, _ := cutLine(b)
	n, err := strconv.ParseFloat(string(word), 64)
	return n, err == nil
}
