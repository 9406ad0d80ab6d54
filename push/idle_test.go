package push

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"
)

// pipes are connections in virtual time to a server, through a gateway that forgets those that were idle.
type pipes struct {
	accept  chan net.Conn
	forgets atomic.Int64 // after so many nanoseconds; 0: never
	deaf    func() bool  // nothing at all gets through

	mu     sync.Mutex
	dialed int
}

func newPipes(t *testing.T, answer http.Handler, forgets time.Duration) *pipes {
	p := &pipes{accept: make(chan net.Conn), deaf: func() bool { return false }}
	p.forgets.Store(int64(forgets))
	server := &http.Server{Handler: answer}
	go server.Serve(p)
	t.Cleanup(func() { server.Close() })
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	if c, ok := <-p.accept; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p *pipes) Close() error   { close(p.accept); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if p.deaf() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	near, far := net.Pipe()
	p.accept <- far
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialed++
	return &piped{Conn: near, p: p, used: time.Now()}, nil
}

// piped is the agent's end.
type piped struct {
	net.Conn
	p    *pipes
	mu   sync.Mutex
	used time.Time
	gone bool
}

func (c *piped) Write(b []byte) (int, error) {
	c.mu.Lock()
	forgets := time.Duration(c.p.forgets.Load())
	c.gone = c.gone || c.p.deaf() || forgets > 0 && time.Since(c.used) > forgets
	c.used = time.Now()
	gone := c.gone
	c.mu.Unlock()
	if gone {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *piped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = time.Now()
	return n, err
}

// by has the sender's connections made so.
func (s *setup) by(t *testing.T, dial func(context.Context, string, string) (net.Conn, error)) {
	t.Helper()
	for _, l := range s.sender.lanes {
		var err error
		if l.client, err = newClient(s.cfg, Parts{Version: "test", Dial: dial}.withDefaults()); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *setup) unanswered() int {
	s.sender.stats.mu.Lock()
	defer s.sender.stats.mu.Unlock()
	return int(s.sender.stats.requests[0])
}

// A gateway that forgets faster than flush_interval costs two time-outs a day instead of one every other flush.
func TestGatewayThatForgetsIdleFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, config("http://receiver", func(c *Config) { c.FlushInterval = model.Duration(15 * time.Second) }))
		p := newPipes(t, &fake{t: t, answer: ok}, 8*time.Second)
		s.by(t, p.dial)
		refs := series(3)
		stop := s.start()
		hours := func(n int) {
			for range n * 90 {
				s.source.fill(refs, 1, time.Now(), time.Second)
				time.Sleep(40 * time.Second)
			}
		}
		hours(1)
		check(t, "requests without an answer in an hour", s.unanswered(), 2)
		hours(22)
		check(t, "in the day", s.unanswered(), 2)
		hours(2)
		check(t, "in the day and the beginning of the next", s.unanswered(), 4)
		check(t, "times that it was said", strings.Count(s.log.String(), "forgets connections that are idle"), 2)

		p.forgets.Store(0) // the gateway is replaced
		hours(25)
		check(t, "without an answer then", s.unanswered(), 4)
		p.mu.Lock()
		before := p.dialed
		p.mu.Unlock()
		hours(1)
		p.mu.Lock()
		if n := p.dialed - before; n > 7 { // one every connectionAge
			t.Errorf("%d connections in an hour, for a gateway that is no more", n)
		}
		p.mu.Unlock()
		time.Sleep(time.Minute)
		stop()
		check(t, "outcome", outcome(s.source.outcome()), fmt.Sprintf("delivered %d refused 0 uncertain 0 dropped map[]", 3*90*51))
	})
}

// What other failures leave behind is not taken for a gateway's forgetfulness: outages of the line come while a connection is idle, too.
func TestOutagesTeachNothingAboutIdleFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, config("http://receiver", func(c *Config) { c.FlushInterval = model.Duration(5 * time.Second) }))
		p := newPipes(t, &fake{t: t, answer: ok}, 0)
		begin := time.Now()
		p.deaf = func() bool { // 25 s of every hour
			since := time.Since(begin) % time.Hour
			return since > time.Minute && since < 85*time.Second
		}
		s.by(t, p.dial)
		refs := series(3)
		stop := s.start()
		for range 6 * 720 {
			s.source.fill(refs, 1, time.Now(), time.Second)
			time.Sleep(5 * time.Second)
		}
		check(t, "requests without an answer", s.unanswered(), 6)
		stop()
		check(t, "limit", s.sender.lanes[0].client.idle.limit, 0)
		if strings.Contains(s.log.String(), "forgets connections") {
			t.Error(s.log)
		}
	})
}

func TestIdlenessIsLearned(t *testing.T) {
	silence := func(idle time.Duration) answer { return answer{class: "timeout", idle: idle} }
	answered := func(idle time.Duration) answer { return answer{status: 503, idle: idle} }
	for name, c := range map[string]struct {
		answers []answer
		again   []bool
		want    time.Duration
	}{
		"twice":             {[]answer{silence(20e9), answered(0), silence(16e9), answered(0)}, []bool{false, true, false, true}, 8e9},
		"once":              {[]answer{silence(20e9), answered(0)}, []bool{false, true}, 0},
		"busy ones":         {[]answer{silence(1e6), answered(0), silence(1e6), answered(0)}, []bool{false, true, false, true}, 0},
		"another request":   {[]answer{silence(20e9), answered(0), silence(16e9), answered(0)}, []bool{false, false, false, true}, 0},
		"new ones fail too": {[]answer{silence(20e9), silence(0), answered(0), silence(16e9), answered(0)}, []bool{false, true, true, false, true}, 0},
		"disproved":         {[]answer{silence(20e9), answered(0), answered(21e9), silence(16e9), answered(0)}, []bool{false, true, false, false, true}, 0},
		"shorter later": {[]answer{silence(20e9), answered(0), silence(16e9), answered(0), silence(6e9), answered(0)},
			[]bool{false, true, false, true, false, true}, 3e9},
	} {
		t.Run(name, func(t *testing.T) {
			var i idleness
			for n := range c.answers {
				i.note(&c.answers[n], c.again[n])
			}
			check(t, "limit", i.limit, c.want)
		})
	}
}

// forgetful is a listener on the loopback behind a gateway that drops what comes on connections that were idle for long, without a word
// and without an acknowledgement.
type forgetful struct {
	net.Listener
	after time.Duration
}

type forgotten struct {
	*net.TCPConn
	after time.Duration
	drop  *time.Timer
}

func (l *forgetful) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	f := &forgotten{TCPConn: c.(*net.TCPConn), after: l.after}
	f.drop = time.AfterFunc(time.Hour, func() { deafen(f.TCPConn) })
	f.drop.Reset(f.after)
	return f, nil
}

func (f *forgotten) Write(b []byte) (int, error) {
	defer f.drop.Reset(f.after)
	return f.TCPConn.Write(b)
}

func (f *forgotten) Close() error {
	f.drop.Stop()
	return f.TCPConn.Close()
}

// deafen has the kernel drop all that comes for a connection.
func deafen(c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	program := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	return errors.Join(raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &program[0]})
	}), err)
}

// On a real socket the kernel tells that nothing arrives, and the failure takes as long as that, and not the time limit of a request.
func TestForgottenFlowIsNoticedByItsSilence(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, answer: ok}
	server := &httptest.Server{Listener: &forgetful{l, time.Second}, Config: &http.Server{Handler: f}}
	server.Start()
	defer server.CloseClientConnections()
	s := newSetup(t, config(server.URL, func(c *Config) { c.FlushInterval = model.Duration(1500 * time.Millisecond) }))
	s.by(t, dialFlows(400*time.Millisecond))
	stop := s.start()
	for range 24 {
		s.source.fill(series(1), 1, time.Now(), time.Second)
		time.Sleep(500 * time.Millisecond)
	}
	check(t, "requests without an answer", s.unanswered(), 2)
	if reason := "what was then sent on it does not arrive"; !strings.Contains(s.log.String(), reason) {
		t.Error(s.log)
	}
	time.Sleep(2 * time.Second)
	stop()
	check(t, "outcome", outcome(s.source.outcome()), "delivered 24 refused 0 uncertain 0 dropped map[]")
}

// What did not arrive was neither too large nor too slow.
func TestForgottenFlowSaysNothingOfSize(t *testing.T) {
	a := answer{begun: true}
	check(t, "size, without an answer", a.mayBeSize(), true)
	a.fail(errUnheard, newRedactor(Config{}))
	check(t, "size, forgotten", a.mayBeSize(), false)
	check(t, "class", a.class, "timeout")
	l := lane{}
	l.timedOut(&a)
	check(t, "patience", l.patience, 0)
}

// A proxy that takes nothing for a while because its own line is slow is not silent: it has acknowledged the beginning.
func TestSlowProxyIsNotTakenForSilence(t *testing.T) {
	const size, patience = 256 << 10, 300 * time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan int, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- 0
			return
		}
		defer c.Close()
		c.(*net.TCPConn).SetReadBuffer(32 << 10)
		b := make([]byte, 64<<10)
		n, _ := c.Read(b[:1])
		time.Sleep(pause + 3*patience) // the window is zero for that long
		for n < size+1 {
			k, err := c.Read(b)
			if n += k; err != nil {
				break
			}
		}
		done <- n
	}()
	c, err := dialFlows(patience)(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write(make([]byte, 1))
	time.Sleep(pause)
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Error(err)
	}
	check(t, "bytes that came", <-done, size+1)
}
