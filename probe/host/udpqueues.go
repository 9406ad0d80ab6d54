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

var udpQueuesDesc = &metric.Desc{Name: "node_udp_queues", Help: "Bytes waiting in the queues of UDP sockets.", Type: metric.Gauge, Unit: metric.Bytes, Labels: []string{"queue", "ip"}}

// udpQueues reads /proc/net/udp and, where there is IPv6, udp6.
type udpQueues struct{ fs procfs.FS }

func newUDPQueues(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return udpQueues{fs}, nil
}

func (p udpQueues) Collect(_ context.Context, out *metric.Set) error {
	for _, v := range []struct {
		ip   string
		read func() (*procfs.NetUDPSummary, error)
	}{{"v4", p.fs.NetUDPSummary}, {"v6", p.fs.NetUDP6Summary}} {
		s, err := guarded(v.read)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read UDP %s sockets: %w", v.ip, err)
		}
		out.Add(udpQueuesDesc, float64(s.TxQueueLength), "tx", v.ip)
		out.Add(udpQueuesDesc, float64(s.RxQueueLength), "rx", v.ip)
	}
	return nil
}
