package host

import (
	"context"
	"fmt"
	"path/filepath"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// VMStatConfig configures the probe "vmstat".
type VMStatConfig struct {
	Fields string `yaml:"fields"` // regular expression: which fields of /proc/vmstat to emit
}

const vmstatPrefix, vmstatFile = "node_vmstat_", "/proc/vmstat"

var vmstatDescs = untypedDescs(vmstatPrefix, vmstatFile, "oom_kill", "pgfault", "pgmajfault", "pgpgin", "pgpgout", "pswpin", "pswpout")

// vmstat reads /proc/vmstat, a name and a value to a line. procfs has no reader for it.
type vmstat struct {
	path   string
	fields kernelFields
	buf    []byte
}

func newVMStat(decode func(any) error, env probe.Env) (probe.Probe, error) {
	c := VMStatConfig{Fields: `^(oom_kill|pgpg|pswp|pg.*fault).*`}
	if err := decode(&c); err != nil {
		return nil, err
	}
	keep, err := compile("fields", c.Fields)
	if err != nil {
		return nil, err
	}
	return &vmstat{path: filepath.Join(env.Proc, "vmstat"), fields: newKernelFields(vmstatPrefix, vmstatFile, keep)}, nil
}

func (p *vmstat) Collect(_ context.Context, out *metric.Set) (err error) {
	if p.buf, err = readFile(p.path, p.buf); err != nil {
		return fmt.Errorf("read vmstat: %w", err)
	}
	if err := p.parse(p.buf, out); err != nil {
		return fmt.Errorf("read vmstat: %w", err)
	}
	return nil
}

func (p *vmstat) parse(data []byte, out *metric.Set) error {
	for line, rest := cutLine(data); len(line) > 0; line, rest = cutLine(rest) {
		name, value, _, err := cutValue(line)
		if err != nil {
			return err
		}
		if d := p.fields.desc(name); d != nil {
			out.Add(d, value)
		}
	}
	return nil
}
