package push

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

// faultProxy stands between a sender and a receiver and does to every connection what its fault says.
type faultProxy struct {
	t     testing.TB
	l     net.Listener
	to    string
	fault func(n int) fault
	mu    sync.Mutex
	conns int
}

// fault is what happens to one connection. The zero value is none.
type fault struct {
	delay     time.Duration // of each piece, both ways
	slow      int           // bytes at once up, if above 0
	cutUp     int           // the connection ends after so many bytes up, if above 0
	cutDown   bool          // it ends when the answer begins
	reset     bool          // it ends by a reset
	halfClose bool          // the way up is closed after the first piece, the way down stays open
	swallow   bool          // the answer never comes
}

func newFaultProxy(t testing.TB, to string, f func(n int) fault) *faultProxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &faultProxy{t: t, l: l, to: to, fault: f}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			n := p.conns
			p.conns++
			p.mu.Unlock()
			go p.serve(c.(*net.TCPConn), p.fault(n))
		}
	}()
	return p
}

func (p *faultProxy) serve(c *net.TCPConn, f fault) {
	end := func() {
		if f.reset {
			c.SetLinger(0)
		}
		c.Close()
	}
	defer end()
	up, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer up.Close()
	var wg sync.WaitGroup
	wg.Go(func() { // up
		defer up.(*net.TCPConn).CloseWrite()
		size := 32 << 10
		if f.slow > 0 {
			size = f.slow
		}
		buffer, total := make([]byte, size), 0
		for {
			n, err := c.Read(buffer)
			time.Sleep(f.delay)
			if f.cutUp > 0 && total+n >= f.cutUp {
				up.Write(buffer[:f.cutUp-total])
				up.(*net.TCPConn).SetLinger(0)
				up.Close()
				end()
				return
			}
			total += n
			up.Write(buffer[:n])
			if err != nil || f.halfClose {
				return
			}
		}
	})
	wg.Go(func() { // down
		buffer := make([]byte, 32<<10)
		for {
			n, err := up.Read(buffer)
			time.Sleep(f.delay)
			if f.cutDown && n > 0 {
				end()
				return
			}
			if f.swallow {
				io.Copy(io.Discard, up)
				return
			}
			c.Write(buffer[:n])
			if err != nil {
				end()
				return
			}
		}
	})
	wg.Wait()
}

// TestOrderUnderFaults drives a backlog through each fault, on every other connection, to a receiver that wants order. It must see
// no new sample out of order, get everything, and get what is repeated byte by byte the same.
func TestOrderUnderFaults(t *testing.T) {
	faults := map[string]fault{
		"delay": {delay: 20 * time.Millisecond}, "cut on the way up": {cutUp: 3000}, "cut at the first byte": {cutUp: 1}, "cut on the way down": {cutDown: true},
		"reset": {cutUp: 2000, reset: true}, "reset of the answer": {cutDown: true, reset: true}, "half-close": {halfClose: true},
		"slow": {slow: 500, delay: time.Millisecond}, "answer that never comes": {swallow: true},
	}
	for name, bad := range faults {
		for message, pin := range map[string]func(*Config){"1.0": v1Only, "2.0": v2Only} {
			t.Run(name+"/"+message, func(t *testing.T) {
				t.Parallel()
				db := &tsdb{}
				var mu sync.Mutex
				var seen [][]byte
				answered := 0
				f := &fake{t: t, answer: func(w http.ResponseWriter, r *http.Request, x received) {
					mu.Lock()
					defer mu.Unlock()
					// What was sent before may come again, but only the last one: nothing overtakes it.
					for i, b := range seen {
						if bytes.Equal(b, x.packed) && i != len(seen)-1 {
							t.Errorf("request %d came again after %d others", i, len(seen)-1-i)
						}
					}
					if len(seen) == 0 || !bytes.Equal(seen[len(seen)-1], x.packed) {
						seen = append(seen, x.packed)
					}
					if answered++; answered%3 == 0 {
						w.Header().Set("Connection", "close") // the next connection has its own fate
					}
					db.answer(w, r, x)
				}}
				receiver := httptest.NewServer(f)
				defer receiver.Close()
				p := newFaultProxy(t, receiver.Listener.Addr().String(), func(n int) fault {
					if n%2 == 0 {
						return bad
					}
					return fault{}
				})
				s := newSetup(t, config("http://"+p.l.Addr().String(), pin, func(c *Config) { c.RemoteTimeout = model.Duration(300 * time.Millisecond) }))
				s.source.split = true // a sample of each series in each batch: a repeat of the newest is taken
				const rounds = 7
				s.source.fill(series(300), rounds, time.Now(), time.Second)
				s.run(t, s.drained)
				check(t, "outcome", outcome(s.source.outcome()), fmt.Sprintf("delivered %d refused 0 uncertain 0 dropped map[]", 300*rounds))
				check(t, "stored", db.stored, 300*rounds)
				check(t, "out of order", db.late, 0)
				if len(seen) < rounds { // more where a time-out has made later requests smaller
					t.Errorf("%d different requests for %d batches", len(seen), rounds)
				}
			})
		}
	}
}

// Several samples of a series in a batch: what was stored unseen is refused when it comes again. That is uncertain, not refused, and
// nothing else is lost or late.
func TestLostAnswersInABacklog(t *testing.T) {
	for message, pin := range map[string]func(*Config){"1.0": v1Only, "2.0": v2Only} {
		t.Run(message, func(t *testing.T) {
			t.Parallel()
			db := &tsdb{}
			receiver := httptest.NewServer(&fake{t: t, answer: db.answer})
			defer receiver.Close()
			p := newFaultProxy(t, receiver.Listener.Addr().String(), func(n int) fault { return fault{cutDown: n < 3} })
			s := newSetup(t, config("http://"+p.l.Addr().String(), pin))
			s.source.fill(series(100), 1200, time.Now().Add(-time.Hour), time.Second)
			s.run(t, s.drained)
			o := s.source.outcome()
			if o.Refused > 0 || o.Uncertain == 0 || o.Delivered+o.Uncertain != 120_000 {
				t.Errorf("got %s", outcome(o))
			}
			check(t, "stored", db.stored, 120_000)
		})
	}
}
