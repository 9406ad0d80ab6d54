package push

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
)

// client posts request bodies to one destination, one at a time.
type client struct {
	url     string
	headers map[string]string
	agent   string
	http    *http.Client
	secrets *redactor
	wall    func() time.Time
	fresh   time.Time // when the connections were last given up
	stale   bool      // they are to be given up before the next request: the address may have changed
	idle    idleness
	closing *time.Timer // of what is idle for too long; nil: never
}

func newClient(cfg Config, parts Parts) (*client, error) {
	c, err := newHTTPClient(cfg, parts.Dial)
	if err != nil {
		return nil, err
	}
	return &client{
		url: cfg.URL, headers: cfg.Headers, agent: userAgent(parts.Version), http: c, secrets: newRedactor(cfg), wall: parts.Wall, fresh: time.Now(),
	}, nil
}

// reserved tells whether the protocol sets a header itself.
func reserved(header string) bool {
	switch textproto.CanonicalMIMEHeaderKey(header) {
	case "Content-Encoding", "Content-Type", versionHeader, "User-Agent", "Host", "Content-Length":
		return true
	case "Idempotency-Key", "X-Idempotency-Key": // net/http would repeat a request whose answer was lost, and nobody would know
		return true
	}
	return false
}

func userAgent(version string) string { return "headend-agent/" + version }

func newRequest(ctx context.Context, url string, headers map[string]string, agent string, p *protocol, body *payload) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(body.data))
	req.GetBody = func() (io.ReadCloser, error) { // for redirects, and for connections that end before they take anything
		body.rewind()
		return body, nil
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	req.Header.Set("Content-Encoding", p.encoding)
	req.Header.Set("Content-Type", p.contentType)
	req.Header.Set(p.header, p.version)
	req.Header.Set("User-Agent", agent)
	return req, nil
}

// EmptyWrite makes a request without samples, in 1.0, for a client of NewHTTPClient's: a way to try a destination. redact takes the
// destination's secrets out of what comes back: an answer may repeat what it was sent.
func EmptyWrite(ctx context.Context, cfg Config, version string) (req *http.Request, redact func(text string) string, err error) {
	secrets := newRedactor(cfg)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaderField: secrets.wrote})
	req, err = newRequest(ctx, cfg.URL, cfg.Headers, userAgent(version), protocolV1, &payload{data: s2.EncodeSnappy(nil, nil)})
	return req, secrets.redact, err
}

// post sends one body. It never fails: what went wrong is in the answer.
func (c *client) post(ctx context.Context, p *protocol, packed []byte, timeout time.Duration) answer {
	a := answer{written: -1, started: time.Now()}
	c.keepOpen()
	defer c.closeInTime()
	if c.stale || a.started.Sub(c.fresh) >= connectionAge {
		c.http.CloseIdleConnections()
		c.stale, c.fresh = false, a.started
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c.secrets.begin()
	trace := &httptrace.ClientTrace{WroteHeaderField: c.secrets.wrote, GotConn: func(i httptrace.GotConnInfo) {
		a.idle = 0
		if i.Reused {
			a.idle = max(i.IdleTime, 1)
		}
	}}
	body := &payload{data: packed}
	defer body.stop() // an early answer may leave the transport reading, and packed is used again
	req, err := newRequest(httptrace.WithClientTrace(ctx, trace), c.url, c.headers, c.agent, p, body)
	if err != nil {
		a.fail(err, c.secrets)
		return a
	}
	resp, err := c.http.Do(req)
	a.took = time.Since(a.started)
	if err != nil {
		a.lost = body.stop()
		a.sent = body.read()
		a.begun = a.sent > 0
		a.slow = !a.lost && a.begun && errors.Is(ctx.Err(), context.DeadlineExceeded)
		a.fail(err, c.secrets)
		return a
	}
	a.read(resp, cancel, c.secrets, c.wall())
	return a
}

// learn takes from an answer how long connections may be idle; see idleness.note.
func (c *client) learn(a *answer, again bool) (news bool) {
	if news = c.idle.note(a, again); news {
		c.closeInTime()
	}
	return news
}

// closeInTime has connections closed that are idle from now on, before they may be forgotten.
func (c *client) closeInTime() {
	c.keepOpen()
	if c.idle.limit > 0 {
		c.closing = time.AfterFunc(c.idle.limit, c.http.CloseIdleConnections)
	}
}

func (c *client) keepOpen() {
	if c.closing != nil {
		c.closing.Stop()
	}
}

// end closes the connections.
func (c *client) end() {
	c.keepOpen()
	c.http.CloseIdleConnections()
}

// payload is a body that knows how much of it was taken: what was not read to the end, the receiver cannot have.
type payload struct {
	mu   sync.Mutex
	data []byte
	at   int
	over bool
}

func (p *payload) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return 0, errors.New("the request has ended")
	}
	if p.at == len(p.data) {
		return 0, io.EOF
	}
	n := copy(b, p.data[p.at:])
	p.at += n
	return n, nil
}

func (p *payload) Close() error { return nil }

func (p *payload) rewind() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = 0
}

// read returns how many bytes were taken.
func (p *payload) read() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// stop ends the reading and tells whether it had come to the end.
func (p *payload) stop() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	return p.at == len(p.data)
}

// bare takes the URL off an error: it may hold secrets.
func bare(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}
