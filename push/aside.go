package push

import (
	"context"
	"time"
)

// asideTime bounds what a request without samples may take: fresh samples wait behind it.
const asideTime = 10 * time.Second

// aside sends a request without samples, between batches. Whatever comes of it, no sample and no delay depends on it, and it shows
// only among the requests and bytes that are counted.
func (l *lane) aside(ctx context.Context, p *protocol, packed []byte) answer {
	a := l.client.post(ctx, p, packed, min(asideTime, time.Duration(l.s.cfg.RemoteTimeout)))
	if a.status == 0 {
		l.client.stale = true
	}
	l.s.stats.aside(a, len(packed))
	return a
}

// betweenBatches is for what is sent aside, where the last batch has shown that the receiver is well and takes 1.0.
func (l *lane) betweenBatches(ctx context.Context) {
	s := l.s
	n := s.receiver.state()
	if l.out.Delivered == 0 || n.proto == protocolV2 || !n.confirmed || s.report.inTrouble() || s.backoff.left() > 0 || ctx.Err() != nil {
		return
	}
	l.tryZstd(ctx)
	l.describe(ctx, s.receiver.state().proto)
}
