package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	memoryUsage = &metric.Desc{Name: "flussonic_memory_usage", Help: "Memory that is not available to new programs, in percent.", Type: metric.Gauge, Unit: metric.Percent}
	memoryDescs = memoryFieldDescs()
)

func memoryFieldDescs() []*metric.Desc {
	all := []*metric.Desc{memoryUsage}
	for _, f := range strings.Fields(`Active Active(anon) Active(file) AnonHugePages AnonPages Balloon Bounce Buffers Cached
		CmaFree CmaTotal CommitLimit Committed_AS DirectMap1G DirectMap2M DirectMap4k Dirty FileHugePages FilePmdMapped
		HardwareCorrupted Hugepagesize Hugetlb Inactive Inactive(anon) Inactive(file) KReclaimable KernelStack Mapped
		MemAvailable MemFree MemTotal Mlocked NFS_Unstable PageTables Percpu SReclaimable SUnreclaim SecPageTables Shmem
		ShmemHugePages ShmemPmdMapped Slab SwapCached SwapFree SwapTotal Unaccepted Unevictable VmallocChunk VmallocTotal
		VmallocUsed Writeback WritebackTmp Zswap Zswapped`) {
		all = append(all, memoryDesc(f, true))
	}
	for _, f := range []string{"HugePages_Free", "HugePages_Rsvd", "HugePages_Surp", "HugePages_Total"} {
		all = append(all, memoryDesc(f, false))
	}
	return all
}

// memoryDesc names a family after a field: Active(anon) in kB becomes Active_anon_bytes. It is nil for a field that cannot
// be a name.
func memoryDesc(field string, kB bool) *metric.Desc {
	name := strings.NewReplacer("(", "_", ")", "").Replace(field)
	if !isName([]byte(name)) {
		return nil
	}
	d := &metric.Desc{Name: "node_memory_" + name, Help: "Field " + field + " of /proc/meminfo.", Type: metric.Gauge}
	if kB {
		d.Name, d.Unit = d.Name+"_bytes", metric.Bytes
	}
	return d
}

// memory reads /proc/meminfo. It does not use procfs' reader, which leaves out fields that it does not know, some of
// which node_exporter has.
type memory struct {
	path  string
	known map[string]*metric.Desc
	buf   []byte
}

func newMemory(_ func(any) error, env probe.Env) (probe.Probe, error) {
	return &memory{path: filepath.Join(env.Proc, "meminfo"), known: map[string]*metric.Desc{}}, nil
}

func (p *memory) Collect(_ context.Context, out *metric.Set) (err error) {
	if p.buf, err = readFile(p.path, p.buf); err != nil {
		return fmt.Errorf("read meminfo: %w", err)
	}
	if err := p.parse(p.buf, out); err != nil {
		return fmt.Errorf("read meminfo: %w", err)
	}
	return nil
}

func (p *memory) parse(data []byte, out *metric.Set) error {
	total, available := 0.0, -1.0
	for line, rest := cutLine(data); len(line) > 0; line, rest = cutLine(rest) {
		name, value, unit, err := cutValue(line)
		if err != nil {
			return err
		}
		name = bytes.TrimSuffix(name, []byte{':'})
		kB := len(unit) > 0
		if kB {
			value *= 1024
		}
		switch string(name) {
		case "MemTotal":
			total = value
		case "MemAvailable":
			available = value
		}
		d, ok := p.known[string(name)]
		if !ok {
			d = memoryDesc(string(name), kB)
			p.known[string(name)] = d
		}
		if d != nil {
			out.Add(d, value)
		}
	}
	if total == 0 {
		return errors.New("no MemTotal in it")
	}
	if available >= 0 {
		out.Add(memoryUsage, 100*(1-available/total))
	}
	return nil
}
