package push

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"headend-agent/internal/metric"
)

// Parts are what a sender works with besides its configuration and its source.
type Parts struct {
	External []metric.Label // labels that are added where a series has none of that name
	Version  string         // of the agent, for the User-Agent header
	Log      *slog.Logger
	// Wall reads the wall clock, which may step; nil: time.Now. Intervals are measured by time.Now, which is monotonic.
	Wall   func() time.Time
	Dial   func(ctx context.Context, network, address string) (net.Conn, error) // nil: the system's TCP
	Random func() float64                                                       // uniform in [0, 1), for any goroutine; nil: math/rand/v2
}

func (p Parts) withDefaults() Parts {
	if p.Wall == nil {
		p.Wall = time.Now
	}
	if p.Random == nil {
		p.Random = rand.Float64
	}
	return p
}
