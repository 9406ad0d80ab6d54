package push

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/golang/snappy"
	promconfig "github.com/prometheus/common/config"
)

// client posts request bodies to one destination.
type client struct {
	url     string
	headers map[string]string
	agent   string
	timeout time.Duration
	http    *http.Client
	packed  []byte
}

func newClient(cfg Config, version string) (*client, error) {
	hc := cfg.HTTP
	hc.EnableHTTP2 = false // a hung multiplexed connection behind NAT stalls everything
	c, err := promconfig.NewClientFromConfig(hc, cfg.Destination(), promconfig.WithHTTP2Disabled(), promconfig.WithIdleConnTimeout(50*time.Second))
	if err != nil {
		return nil, fmt.Errorf("remote_write %s: %w", cfg.Destination(), err)
	}
	return &client{
		url: cfg.URL, headers: cfg.Headers, agent: "headend-agent/" + version, timeout: time.Duration(cfg.RemoteTimeout), http: c,
	}, nil
}

// protocol is one of the two messages with its headers.
type protocol struct {
	message     string
	contentType string
	version     string
}

var (
	protocolV1 = protocol{MessageV1, "application/x-protobuf", "0.1.0"}
	protocolV2 = protocol{MessageV2, "application/x-protobuf;proto=" + MessageV2, "2.0.0"}
)

// reserved tells whether the protocol sets a header itself.
func reserved(header string) bool {
	switch textproto.CanonicalMIMEHeaderKey(header) {
	case "Content-Encoding", "Content-Type", "X-Prometheus-Remote-Write-Version", "User-Agent", "Host", "Content-Length":
		return true
	}
	return false
}

// answer is what came back for one request.
type answer struct {
	status     int // 0: none came
	err        error
	written    int // samples, by the 2.0 headers; -1 where the receiver did not say
	retryAfter time.Duration
	text       string // of an error, at most maxErrorText
	sent       int    // bytes of the request's body
}

const maxErrorText = 1024

// post sends one body. It never fails: what went wrong is in the answer.
func (c *client) post(ctx context.Context, p protocol, body []byte) answer {
	c.packed = snappy.Encode(c.packed[:cap(c.packed)], body)
	a := answer{written: -1, sent: len(c.packed)}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(c.packed))
	if err != nil {
		a.err = err
		return a
	}
	for k, v := range c.headers {
		req.Header.Set(k, v)
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", p.contentType)
	req.Header.Set("X-Prometheus-Remote-Write-Version", p.version)
	req.Header.Set("User-Agent", c.agent)
	resp, err := c.http.Do(req)
	if err != nil {
		a.err = err
		c.http.CloseIdleConnections() // the address may have changed
		return a
	}
	defer resp.Body.Close()
	a.status = resp.StatusCode
	if n, err := strconv.Atoi(resp.Header.Get("X-Prometheus-Remote-Write-Samples-Written")); err == nil {
		a.written = n
	}
	a.retryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), time.Now())
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorText))
	if a.status/100 != 2 {
		a.text = strings.TrimSpace(string(text))
	}
	return a
}

// parseRetryAfter reads seconds or an HTTP date; what is past or unreadable is 0.
func parseRetryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil {
		return time.Duration(min(max(n, 0), int(retryAfterMax/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
