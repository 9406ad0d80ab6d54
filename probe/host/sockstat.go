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

// sockstatFields are the fields of a protocol's line, and mem again in bytes.
var sockstatFields = []struct {
	name, help string
	unit       metric.Unit
	value      func(*procfs.NetSockstatProtocol) *int
}{
	{"inuse", "sockets in use", metric.None, func(p *procfs.NetSockstatProtocol) *int { return &p.InUse }},
	{"orphan", "sockets without a process", metric.None, func(p *procfs.NetSockstatProtocol) *int { return p.Orphan }},
	{"tw", "sockets in state TIME_WAIT", metric.None, func(p *procfs.NetSockstatProtocol) *int { return p.TW }},
	{"alloc", "sockets allocated", metric.None, func(p *procfs.NetSockstatProtocol) *int { return p.Alloc }},
	{"mem", "buffers, in pages", metric.None, func(p *procfs.NetSockstatProtocol) *int { return p.Mem }},
	{"memory", "buffers of fragments", metric.Bytes, func(p *procfs.NetSockstatProtocol) *int { return p.Memory }},
	{"mem_bytes", "buffers", metric.Bytes, func(p *procfs.NetSockstatProtocol) *int {
		if p.Mem == nil {
			return nil
		}
		n := *p.Mem * os.Getpagesize()
		return &n
	}},
}

var sockstatUsed = &metric.Desc{Name: "node_sockstat_sockets_used", Help: "Sockets in use, of all families.", Type: metric.Gauge}

func sockstatDesc(protocol string, field int) *metric.Desc {
	f := sockstatFields[field]
	return &metric.Desc{Name: "node_sockstat_" + protocol + "_" + f.name, Help: protocol + " " + f.help + ".", Type: metric.Gauge, Unit: f.unit}
}

// sockstatDescs lists what kernels of today have.
func sockstatDescs() []*metric.Desc {
	all := []*metric.Desc{sockstatUsed}
	for _, p := range []struct {
		protocol string
		fields   []int
	}{
		{"TCP", []int{0, 1, 2, 3, 4, 6}}, {"UDP", []int{0, 4, 6}}, {"UDPLITE", []int{0}}, {"RAW", []int{0}}, {"FRAG", []int{0, 5}},
		{"TCP6", []int{0}}, {"UDP6", []int{0}}, {"UDPLITE6", []int{0}}, {"RAW6", []int{0}}, {"FRAG6", []int{0, 5}},
	} {
		for _, f := range p.fields {
			all = append(all, sockstatDesc(p.protocol, f))
		}
	}
	return all
}

// sockstat reads /proc/net/sockstat and, where there is IPv6, sockstat6.
type sockstat struct {
	fs    procfs.FS
	known map[string][]*metric.Desc // by protocol, in the order of sockstatFields
}

func newSockstat(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return &sockstat{fs, map[string][]*metric.Desc{}}, nil
}

func (p *sockstat) Collect(_ context.Context, out *metric.Set) error {
	for _, read := range []func() (*procfs.NetSockstat, error){p.fs.NetSockstat, p.fs.NetSockstat6} {
		s, err := read()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read socket statistics: %w", err)
		}
		if s.Used != nil {
			out.Add(sockstatUsed, float64(*s.Used))
		}
		for i := range s.Protocols {
			p.add(out, &s.Protocols[i])
		}
	}
	return nil
}

func (p *sockstat) add(out *metric.Set, s *procfs.NetSockstatProtocol) {
	ds, ok := p.known[s.Protocol]
	if !ok {
		if isName([]byte(s.Protocol)) {
			for i := range sockstatFields {
				ds = append(ds, sockstatDesc(s.Protocol, i))
			}
		}
		p.known[s.Protocol] = ds
	}
	for i, d := range ds {
		if v := sockstatFields[i].value(s); v != nil {
			out.Add(d, float64(*v))
		}
	}
}
