package sim

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// network connects processes to receivers. Each receiver is reached over a link of its own.
type network struct {
	mu    sync.Mutex
	links map[string]*link // by host
}

// connections returns those that the agent's processes have open.
func (n *network) connections() (open []*conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		l.mu.Lock()
		for c := range l.conns {
			open = append(open, c)
		}
		l.mu.Unlock()
	}
	return open
}

// link is the way to one receiver, and what is wrong with it.
type link struct {
	listener *listener

	mu        sync.Mutex
	latency   time.Duration // one way
	bandwidth float64       // bytes/s towards the receiver; 0: no limit
	proxied   bool          // a proxy takes everything at once and passes it on at the bandwidth
	refuse    bool          // connections are refused
	noName    bool          // the name is not found
	blackhole bool          // nothing arrives, in either direction
	deaf      bool          // answers do not arrive
	lastCut   time.Time
	conns     map[*conn]bool
}

func newNetwork() *network { return &network{links: map[string]*link{}} }

func (n *network) link(host string) *link {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[host]
	if l == nil {
		l = &link{latency: 10 * time.Millisecond, conns: map[*conn]bool{}, listener: newListener(host)}
		n.links[host] = l
	}
	return l
}

// heal repairs a link. Connections that have lost something stay dead.
func (l *link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latency, l.bandwidth, l.proxied = 10*time.Millisecond, 0, false
	l.refuse, l.noName, l.blackhole, l.deaf = false, false, false, false
}

// cut resets all connections.
func (l *link) cut() {
	l.mu.Lock()
	conns := l.conns
	l.conns, l.lastCut = map[*conn]bool{}, time.Now()
	l.mu.Unlock()
	for c := range conns {
		c.reset()
	}
}

// dial connects a process to a receiver.
func (n *network) dial(ctx context.Context, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	l := n.link(host)
	l.mu.Lock()
	noName, refuse, blackhole, latency := l.noName, l.refuse, l.blackhole, l.latency
	l.mu.Unlock()
	switch {
	case noName:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	case blackhole:
		select {
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
		case <-time.After(10 * time.Second): // as the dialer's own limit
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
		}
	}
	time.Sleep(2 * latency)
	if refuse {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	up, down := newStream(l, true), newStream(l, false)
	client, server := &conn{in: down, out: up, host: host}, &conn{in: up, out: down, host: host}
	if !l.listener.offer(server) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	l.mu.Lock()
	l.conns[client] = true
	l.mu.Unlock()
	client.closed = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, client)
	}
	return client, nil
}

// stream is one direction of a connection.
type stream struct {
	link *link
	up   bool // towards the receiver

	mu       sync.Mutex
	changed  *sync.Cond
	chunks   []chunk
	queued   int       // bytes in chunks
	free     time.Time // when the link has carried all that was written
	eof      bool      // the writer has closed
	broken   bool      // reset by either side
	lossy    bool      // something was lost: nothing that follows arrives
	deadline [2]time.Time
}

const (
	reading = 0
	writing = 1
)

// chunk is a piece of what was written, and when it arrives.
type chunk struct {
	data []byte
	at   time.Time
}

// socketBuffer is how many bytes a writer may be ahead of the link.
const socketBuffer = 64 << 10

func newStream(l *link, up bool) *stream {
	s := &stream{link: l, up: up}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *stream) wakeAt(t time.Time) {
	time.AfterFunc(time.Until(t), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})
}

func (s *stream) expired(which int) bool {
	d := s.deadline[which]
	return !d.IsZero() && !time.Now().Before(d)
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.expired(reading):
			return 0, os.ErrDeadlineExceeded
		case s.broken:
			return 0, syscall.ECONNRESET
		case len(s.chunks) > 0 && !time.Now().Before(s.chunks[0].at):
			n := copy(p, s.chunks[0].data)
			if s.chunks[0].data = s.chunks[0].data[n:]; len(s.chunks[0].data) == 0 {
				s.chunks = s.chunks[1:]
			}
			s.queued -= n
			s.changed.Broadcast()
			return n, nil
		case len(s.chunks) == 0 && s.eof && !s.lossy:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	for len(p) > 0 {
		piece := p[:min(len(p), 16<<10)]
		if err := s.writePiece(piece); err != nil {
			return n, err
		}
		n += len(piece)
		p = p[len(piece):]
	}
	return n, nil
}

func (s *stream) writePiece(p []byte) error {
	s.link.mu.Lock()
	latency, bandwidth, proxied := s.link.latency, s.link.bandwidth, s.link.proxied
	lost := s.link.blackhole || s.link.deaf && !s.up
	s.link.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.broken:
			return syscall.ECONNRESET
		case s.eof:
			return net.ErrClosed
		case s.expired(writing):
			return os.ErrDeadlineExceeded
		}
		if proxied || s.queued < socketBuffer {
			break
		}
		s.changed.Wait()
	}
	s.queued += len(p)
	if s.lossy = s.lossy || lost; s.lossy {
		return nil // the writer learns nothing of it
	}
	at := time.Now()
	if s.free.After(at) {
		at = s.free
	}
	if s.up && bandwidth > 0 {
		at = at.Add(time.Duration(float64(len(p)) / bandwidth * float64(time.Second)))
	}
	s.free = at
	at = at.Add(latency)
	s.chunks = append(s.chunks, chunk{append([]byte(nil), p...), at})
	s.wakeAt(at)
	return nil
}

func (s *stream) close(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eof = true
	s.broken = s.broken || broken
	s.changed.Broadcast()
}

func (s *stream) setDeadline(which int, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline[which] = t
	s.changed.Broadcast()
	if !t.IsZero() {
		s.wakeAt(t)
	}
}

// conn is one end of a connection.
type conn struct {
	in, out *stream
	host    string
	once    sync.Once
	closed  func()
}

func (c *conn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.out.write(p) }

func (c *conn) Close() error {
	c.once.Do(func() {
		c.out.close(false)
		c.in.close(true)
		if c.closed != nil {
			c.closed()
		}
	})
	return nil
}

// reset ends the connection for both sides, at once.
func (c *conn) reset() {
	c.out.close(true)
	c.in.close(true)
}

func (c *conn) LocalAddr() net.Addr  { return address("agent") }
func (c *conn) RemoteAddr() net.Addr { return address(c.host) }

func (c *conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(reading, t)
	c.out.setDeadline(writing, t)
	return nil
}
func (c *conn) SetReadDeadline(t time.Time) error  { c.in.setDeadline(reading, t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.out.setDeadline(writing, t); return nil }

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

// listener hands the ends of new connections to a receiver's HTTP server.
type listener struct {
	host  string
	conns chan net.Conn
	over  chan struct{}
	once  sync.Once
}

func newListener(host string) *listener {
	return &listener{host: host, conns: make(chan net.Conn), over: make(chan struct{})}
}

func (l *listener) offer(c net.Conn) bool {
	select {
	case l.conns <- c:
		return true
	case <-l.over:
		return false
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.over) })
	return nil
}

func (l *listener) Addr() net.Addr { return address(l.host) }

var errDead = errors.New("the process has been killed: it has no network")

func (l *link) oneWay() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latency
}

func (l *link) cutSince(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.lastCut.Before(t)
}

func (l *link) answers() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.deaf && !l.blackhole && l.latency < time.Second && l.bandwidth == 0
}
