package host

import (
	"context"
	"fmt"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	filefdAllocated = &metric.Desc{Name: "node_filefd_allocated", Help: "File handles in use on the whole machine.", Type: metric.Gauge}
	filefdMaximum   = &metric.Desc{Name: "node_filefd_maximum", Help: "File handles that the kernel would give out.", Type: metric.Gauge}
	filefdDescs     = []*metric.Desc{filefdAllocated, filefdMaximum}
)

// filefd reads /proc/sys/fs/file-nr: allocated, unused (always 0) and maximum.
type filefd struct{ fs procfs.FS }

func newFilefd(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return filefd{fs}, nil
}

func (p filefd) Collect(_ context.Context, out *metric.Set) error {
	n, err := p.fs.SysctlInts("fs.file-nr")
	if err != nil {
		return fmt.Errorf("read file handles: %w", err)
	}
	if len(n) < 3 {
		return fmt.Errorf("read file handles: file-nr has %d numbers, want 3", len(n))
	}
	out.Add(filefdAllocated, float64(n[0]))
	out.Add(filefdMaximum, float64(n[2]))
	return nil
}
