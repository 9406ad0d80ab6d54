package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// NetstatConfig configures the probe "netstat".
type NetstatConfig struct {
	Fields string `yaml:"fields"` // regular expression: which PROTOCOL_FIELD to emit
}

const netstatPrefix, netstatFiles = "node_netstat_", "/proc/net/{netstat,snmp,snmp6}"

var netstatDescs = untypedDescs(netstatPrefix, netstatFiles,
	"Icmp6_InErrors", "Icmp6_InMsgs", "Icmp6_OutMsgs", "Icmp_InErrors", "Icmp_InMsgs", "Icmp_OutMsgs", "Ip6_InOctets", "Ip6_OutOctets",
	"IpExt_InOctets", "IpExt_OutOctets", "Ip_Forwarding", "TcpExt_ListenDrops", "TcpExt_ListenOverflows", "TcpExt_SyncookiesFailed",
	"TcpExt_SyncookiesRecv", "TcpExt_SyncookiesSent", "TcpExt_TCPOFOQueue", "TcpExt_TCPRcvQDrop", "TcpExt_TCPSynRetrans",
	"TcpExt_TCPTimeouts", "Tcp_ActiveOpens", "Tcp_CurrEstab", "Tcp_InErrs", "Tcp_InSegs", "Tcp_OutRsts", "Tcp_OutSegs",
	"Tcp_PassiveOpens", "Tcp_RetransSegs", "Udp6_InDatagrams", "Udp6_InErrors", "Udp6_NoPorts", "Udp6_OutDatagrams",
	"Udp6_RcvbufErrors", "Udp6_SndbufErrors", "UdpLite6_InErrors", "UdpLite_InErrors", "Udp_InDatagrams", "Udp_InErrors",
	"Udp_NoPorts", "Udp_OutDatagrams", "Udp_RcvbufErrors", "Udp_SndbufErrors")

// netstat reads /proc/net/netstat, snmp and, where there is IPv6, snmp6. procfs has readers for them into a fixed struct,
// which leaves out what newer kernels add and cannot be asked by pattern.
type netstat struct {
	dir    string
	fields kernelFields
	buf    []byte
	name   []byte // scratch
}

func newNetstat(decode func(any) error, env probe.Env) (probe.Probe, error) {
	c := NetstatConfig{Fields: `^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)` +
		`|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)` +
		`|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)` +
		`|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$`}
	if err := decode(&c); err != nil {
		return nil, err
	}
	keep, err := compile("fields", c.Fields)
	if err != nil {
		return nil, err
	}
	return &netstat{dir: filepath.Join(env.Proc, "net"), fields: newKernelFields(netstatPrefix, netstatFiles, keep)}, nil
}

func (p *netstat) Collect(_ context.Context, out *metric.Set) error {
	for _, f := range []struct {
		name     string
		parse    func(*netstat, []byte, *metric.Set) error
		optional bool
	}{{"netstat", (*netstat).addPairs, false}, {"snmp", (*netstat).addPairs, false}, {"snmp6", (*netstat).addLines, true}} {
		var err error
		p.buf, err = readFile(filepath.Join(p.dir, f.name), p.buf)
		if f.optional && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = f.parse(p, p.buf, out)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", f.name, err)
		}
	}
	return nil
}

// addPairs reads pairs of lines: the names of a protocol's fields, then their values.
func (p *netstat) addPairs(data []byte, out *metric.Set) error {
	for len(data) > 0 {
		var names, values []byte
		names, data = cutLine(data)
		values, data = cutLine(data)
		protocol, names := cutWord(names)
		again, values := cutWord(values)
		protocol, colon := bytes.CutSuffix(protocol, []byte{':'})
		if !colon || len(again) != len(protocol)+1 || !bytes.HasPrefix(again, protocol) {
			return fmt.Errorf("%w: no values for %.60q", errMalformed, protocol)
		}
		for {
			var field, value []byte
			field, names = cutWord(names)
			value, values = cutWord(values)
			if len(field) == 0 && len(value) == 0 {
				break
			}
			if len(field) == 0 {
				return fmt.Errorf("%w: more values than names for %s", errMalformed, protocol)
			}
			if err := p.add(out, protocol, field, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// addLines reads snmp6: a name, made of a protocol that ends in 6 and a field, and a value to a line.
func (p *netstat) addLines(data []byte, out *metric.Set) error {
	for line, rest := cutLine(data); len(line) > 0; line, rest = cutLine(rest) {
		name, value := cutWord(line)
		value, _ = cutWord(value)
		if six := bytes.IndexByte(name, '6'); six >= 0 {
			if err := p.add(out, name[:six+1], name[six+1:], value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *netstat) add(out *metric.Set, protocol, field, value []byte) error {
	v, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		return fmt.Errorf("%w: %.60q of %s_%s is no number", errMalformed, value, protocol, field)
	}
	p.name = append(append(append(p.name[:0], protocol...), '_'), field...)
	if d := p.fields.desc(p.name); d != nil {
		out.Add(d, v)
	}
	return nil
}
