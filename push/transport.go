package push

import (
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	promconfig "github.com/prometheus/common/config"
	"golang.org/x/sys/unix"
)

const (
	idleTimeout   = 50 * time.Second // below the minute after which NAT gateways forget
	dialTimeout   = 10 * time.Second
	connectionAge = 9 * time.Minute // a changed address is used then at the latest, with a request's time to spare
	maxRedirects  = 5
	maxUnsent     = 64 << 10 // bytes
)

// keepAlive keeps flows that wait for a flush_interval of a metered link in the memory of gateways, and finds those that are
// forgotten: 25 s after the last byte such a connection is closed, and the next flush makes a new one.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}

// NewHTTPClient makes the client with the destination's authentication, TLS and proxy, for a Sender and for who wants to try it.
// Certificates and secrets in files are read anew as they change.
func NewHTTPClient(cfg Config) (*http.Client, error) { return newHTTPClient(cfg, nil) }

func newHTTPClient(cfg Config, dial promconfig.DialContextFunc) (*http.Client, error) {
	hc := cfg.HTTP
	hc.EnableHTTP2 = false // a hung multiplexed connection behind NAT stalls everything
	if dial == nil {
		dial = dialFlows(unheardAfter)
	}
	c, err := promconfig.NewClientFromConfig(hc, cfg.Destination(), promconfig.WithHTTP2Disabled(),
		promconfig.WithIdleConnTimeout(idleTimeout), promconfig.WithDialContextFunc(dial))
	if err != nil {
		return nil, fmt.Errorf("remote_write %s: %w", cfg.Destination(), err)
	}
	if cfg.SigV4 != nil {
		c.Transport = signed(cfg.SigV4, c.Transport)
	}
	c.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		first := via[0]
		if !hc.FollowRedirects || len(via) > maxRedirects ||
			next.Method != http.MethodPost || // after 301 to 303 a client asks with GET, which sends nothing
			first.URL.Scheme == "https" && next.URL.Scheme != "https" {
			return http.ErrUseLastResponse
		}
		if next.URL.Host != first.URL.Host {
			for name := range cfg.Headers { // they may be secrets
				next.Header.Del(name)
			}
		}
		return nil
	}
	return c, nil
}

// limitUnsent keeps the kernel from taking a whole body that the line has not: what was not read from a body was not sent, and a
// request that the line is too thin for can be cut.
func limitUnsent(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent) // an old kernel does without
	})
}
