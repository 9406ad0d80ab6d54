package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	entropyAvailable = &metric.Desc{Name: "node_entropy_available_bits", Help: "Entropy in the kernel's pool.", Type: metric.Gauge}
	entropyPoolSize  = &metric.Desc{Name: "node_entropy_pool_size_bits", Help: "Size of the kernel's entropy pool.", Type: metric.Gauge}
	entropyDescs     = []*metric.Desc{entropyAvailable, entropyPoolSize}
)

// entropy reads /proc/sys/kernel/random.
type entropy struct{ fs procfs.FS }

func newEntropy(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return entropy{fs}, nil
}

func (p entropy) Collect(_ context.Context, out *metric.Set) error {
	r, err := p.fs.KernelRandom()
	if err != nil {
		return fmt.Errorf("read entropy: %w", err)
	}
	if r.EntropyAvaliable == nil || r.PoolSize == nil {
		return errors.New("read entropy: the kernel tells no entropy_avail or poolsize")
	}
	out.Add(entropyAvailable, float64(*r.EntropyAvaliable))
	out.Add(entropyPoolSize, float64(*r.PoolSize))
	return nil
}
