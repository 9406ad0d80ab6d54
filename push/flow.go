package push

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A NAT gateway that has forgotten a flow drops what is sent on it without a word. The kernel would send it again for a quarter of an
// hour. TCP_USER_TIMEOUT would end that, but it also counts the time in which a proxy that is alive takes nothing (its window is zero)
// because its own line is slow. What tells the two apart is the first byte after a pause: a living peer acknowledges that.

// pause is how long a connection must have been left alone to count as idle.
const pause = time.Second

// unheardAfter is how long the first bytes after a pause may remain unacknowledged: a line on which that takes longer would not have
// let a new connection come about either.
const unheardAfter = dialTimeout

var errUnheard = errors.New("the connection was idle, and what was then sent on it does not arrive")

// dialFlows makes TCP connections that notice when they were forgotten on the way.
func dialFlows(patience time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive, Control: limitUnsent}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if t, ok := c.(*net.TCPConn); ok {
			return &flow{Conn: t, tcp: t, patience: patience, used: time.Now()}, nil
		}
		return c, nil
	}
}

// flow is a TCP connection that is closed where what was sent on it after a pause is not acknowledged.
type flow struct {
	net.Conn
	tcp      syscall.Conn
	patience time.Duration

	mu      sync.Mutex
	used    time.Time // last read or written
	watch   *time.Timer
	unheard bool
}

func (f *flow) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	return n, f.after(n, err)
}

func (f *flow) Write(b []byte) (int, error) {
	f.mu.Lock()
	if time.Since(f.used) >= pause {
		f.listen()
	}
	f.used = time.Now()
	f.mu.Unlock()
	n, err := f.Conn.Write(b)
	return n, f.after(n, err)
}

func (f *flow) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watch != nil {
		f.watch.Stop()
	}
	return f.Conn.Close()
}

// after notes a use of the connection, and says why it has ended where it was us who ended it.
func (f *flow) after(n int, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n > 0 {
		f.used = time.Now()
	}
	if err != nil && f.unheard {
		return errUnheard
	}
	return err
}

// listen ends the connection unless more than until now is acknowledged in time.
func (f *flow) listen() {
	before := f.info()
	if before == nil || before.Bytes_acked == 0 { // it is new, or the kernel does not count
		return
	}
	// A line that was slow when it was last used is given more time.
	patience := max(f.patience, 4*time.Duration(before.Rto)*time.Microsecond)
	f.watch = time.AfterFunc(patience, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if now := f.info(); now != nil && now.Bytes_acked == before.Bytes_acked {
			f.unheard = true
			f.Conn.Close()
		}
	})
}

// info is what the kernel knows about the connection, nil where it does not tell.
func (f *flow) info() (info *unix.TCPInfo) {
	raw, err := f.tcp.SyscallConn()
	if err != nil {
		return nil
	}
	if raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }) != nil || err != nil {
		return nil
	}
	return info
}
