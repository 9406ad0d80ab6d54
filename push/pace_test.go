package push

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
)

// wire stands for the network where the clock is simulated.
type wire func(r *http.Request, body []byte) (*http.Response, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	resp, err := w(r, body)
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	return resp, err
}

// roundTrip is a transport.
type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// through makes a sender use the wire, answered by a handler's function.
func (s *setup) through(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, x received)) {
	for _, l := range s.sender.lanes {
		l.client.http.Transport = wire(func(r *http.Request, body []byte) (*http.Response, error) {
			w := httptest.NewRecorder()
			w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
			answer(w, r, decodeRequest(t, r.Header, body))
			return w.Result(), nil
		})
	}
}

// start runs the sender until stop is called, which waits for its end.
func (s *setup) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.sender.Run(ctx) })
	return func() { cancel(); wg.Wait() }
}

func ago(d time.Duration) time.Time { return time.Now().Add(-d) }

func TestBackoffGrowsWithinItsBounds(t *testing.T) {
	for _, longest := range []time.Duration{backoffNet, backoffBusy, backoffWrong} {
		synctest.Test(t, func(t *testing.T) {
			b := backoff{random: rand.Float64}
			last := time.Duration(0)
			for i := range 20 {
				b.fail(time.Now(), longest, 0)
				gap := b.left()
				if gap < last*8/10 || gap > longest*11/10 || i == 0 && longest < backoffWrong && gap > 4*time.Second {
					t.Errorf("gap %d of at most %v: %v after %v", i, longest, gap, last)
				}
				last = gap
				time.Sleep(gap)
			}
			if last < longest*9/10 {
				t.Errorf("%v in the end; want about %v", last, longest)
			}
		})
	}
}

func TestRetryAfterIsHeeded(t *testing.T) {
	for text, want := range map[string]time.Duration{"": time.Second, "100": 100 * time.Second, "0": time.Second, "86400": retryAfterMax} {
		synctest.Test(t, func(t *testing.T) {
			s := newSetup(t, config("http://x"))
			var times []time.Time
			s.through(t, func(w http.ResponseWriter, r *http.Request, x received) {
				if times = append(times, time.Now()); len(times) == 1 {
					w.Header().Set("Retry-After", text)
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				ok(w, r, x)
			})
			s.source.fill(series(1), 1, time.Now(), time.Second)
			stop := s.start()
			time.Sleep(20 * time.Minute)
			stop()
			gap := times[1].Sub(times[0])
			if gap < want*9/10 || gap > want*11/10 || want > time.Second && gap < want {
				t.Errorf("Retry-After %q: %v", text, gap)
			}
		})
	}
}

func TestTooManyRequestsForHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, config("http://x", v1Only))
		begin, n := time.Now(), 0
		s.through(t, func(w http.ResponseWriter, r *http.Request, x received) {
			if time.Since(begin) < 6*time.Hour {
				n++
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			ok(w, r, x)
		})
		s.source.fill(series(10), 1000, time.Now(), time.Second)
		stop := s.start()
		time.Sleep(8 * time.Hour)
		stop()
		if n > 6*3600/25 {
			t.Errorf("%d requests in six hours of 429", n)
		}
		check(t, "outcome", outcome(s.source.outcome()), "delivered 10000 refused 0 uncertain 0 dropped map[]")
	})
}

func TestBacklogKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, config("http://x", v1Only, func(c *Config) {
			c.BacklogBytesPerSecond = 16 * units.KiB
			c.FlushInterval = model.Duration(5 * time.Second)
		}))
		total, last, begin, end := 0, 0, time.Now(), time.Now()
		s.through(t, func(w http.ResponseWriter, r *http.Request, x received) {
			total += last // what is sent before the next one
			last, end = len(x.packed), time.Now()
			if last > 250_000 { // a request does not grow where a rate is asked for
				t.Errorf("%d bytes at once", last)
			}
			ok(w, r, x)
		})
		refs := series(1000)
		s.source.fill(refs, 800, ago(2*time.Hour), 9*time.Second)
		time.Sleep(time.Minute) // so long nothing was sent: a backlog
		begin = time.Now()
		stop := s.start()
		time.Sleep(time.Hour)
		stop()
		check(t, "all sent", s.drained(), true)
		rate := float64(total) / end.Sub(begin).Seconds()
		if rate > 1.15*16*1024 || rate < 0.8*16*1024 {
			t.Errorf("%.0f bytes/s", rate)
		}
	})
}

func TestTooManyRequestsHalveTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pace{rate: 1000, random: rand.Float64}
		gap := func() time.Duration {
			p.sent(time.Now(), 10_000, time.Hour)
			d := p.delay()
			time.Sleep(d)
			return d
		}
		check(t, "at the configured rate", gap(), 10*time.Second)
		p.tooFast()
		check(t, "after a 429", gap(), 20*time.Second)
		p.tooFast()
		if d := gap(); d < 35*time.Second {
			t.Errorf("after another one: %v", d)
		}
		for range 20 {
			gap()
		}
		check(t, "when all has been accepted for a while", gap(), 10*time.Second)

		p = pace{random: rand.Float64} // no limit: the receiver's own pace is halved
		begin := time.Now()
		p.tooFast()
		time.Sleep(3 * time.Second)
		p.sent(begin, 10_000, time.Hour)
		check(t, "without a limit", p.delay(), 3*time.Second)
	})
}

func TestBacklogAlwaysShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, config("http://x", v1Only, func(c *Config) { c.BacklogBytesPerSecond = 100; c.FlushInterval = model.Duration(5 * time.Second) }))
		s.through(t, ok)
		s.source.fill(series(1000), 400, ago(400*5*time.Second), 5*time.Second)
		time.Sleep(time.Minute)
		stop := s.start()
		time.Sleep(400 * 5 * time.Second * 6 / 10)
		stop()
		check(t, "all sent, at twice the pace at which it came", s.drained(), true)
	})
}

func TestLiveDataIsNotPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, config("http://x", v1Only, func(c *Config) { c.BacklogBytesPerSecond = 10; c.FlushInterval = model.Duration(5 * time.Second) }))
		s.through(t, ok)
		stop := s.start()
		refs := series(1000)
		for range 100 {
			s.source.fill(refs, 1, time.Now(), time.Second)
			time.Sleep(5 * time.Second)
		}
		if n, age := s.source.Pending(); age > 6*time.Second {
			t.Errorf("%d samples wait for %v", n, age)
		}
		stop()
		check(t, "paced", s.sender.pace.waited(), 0)
	})
}

func TestDrainAfterALongOutageBeginsLate(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		var spread []time.Duration
		for range 20 {
			synctest.Test(t, func(t *testing.T) {
				s := newSetup(t, config("http://x", v1Only, func(c *Config) { c.FlushInterval = model.Duration(5 * time.Second) }))
				var down atomic.Bool
				down.Store(!restarted)
				var mu sync.Mutex
				var times []time.Time
				s.sender.lanes[0].client.http.Transport = wire(func(r *http.Request, body []byte) (*http.Response, error) {
					if down.Load() {
						return nil, errors.New("no route")
					}
					mu.Lock()
					defer mu.Unlock()
					if !decodeRequest(t, r.Header, body).aside() {
						times = append(times, time.Now())
					}
					return response(http.StatusNoContent), nil
				})
				s.source.split = true
				refs := series(10)
				if restarted {
					s.source.fill(refs, 50, ago(time.Hour), time.Minute)
					time.Sleep(15 * time.Minute)
				}
				stop := s.start()
				if !restarted {
					for range 30 {
						s.source.fill(refs, 1, time.Now(), time.Second)
						time.Sleep(time.Minute)
					}
				}
				up := time.Now()
				down.Store(false)
				time.Sleep(2 * time.Minute)
				stop()
				check(t, "all sent", s.drained(), true)
				if first := times[0].Sub(up); first > 6*time.Second {
					t.Errorf("the first request comes after %v", first)
				}
				spread = append(spread, times[1].Sub(times[0]))
			})
		}
		least, most := spread[0], spread[0]
		for _, d := range spread {
			least, most = min(least, d), max(most, d)
		}
		if most > maxSpread+time.Second || most-least < maxSpread/4 {
			t.Errorf("the drain begins between %v and %v after the first request", least, most)
		}
	}
}

func TestLiveFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, config("http://x", func(c *Config) {
			c.Order, c.BacklogBytesPerSecond, c.FlushInterval = OrderLiveFirst, 4*units.KiB, model.Duration(5*time.Second)
		}))
		var mu sync.Mutex
		var worst time.Duration
		last := map[string]int64{}
		s.through(t, func(w http.ResponseWriter, r *http.Request, x received) {
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			for _, v := range x.series {
				for _, ms := range v.times {
					if time.Since(time.UnixMilli(ms)) < time.Minute {
						worst = max(worst, time.Since(time.UnixMilli(ms)))
					} else if ms <= last[v.labels] {
						t.Errorf("the backlog is not sent in order: %d after %d", ms, last[v.labels])
					} else {
						last[v.labels] = ms
					}
				}
			}
			ok(w, r, x)
		})
		s.source.lanes = true
		refs := series(500)
		s.source.fill(refs, 720, ago(2*time.Hour), 10*time.Second)
		time.Sleep(time.Minute)
		stop := s.start()
		for range 120 {
			s.source.fill(refs, 1, time.Now(), time.Second)
			time.Sleep(10 * time.Second)
		}
		stop()
		if worst > 6*time.Second {
			t.Errorf("a fresh sample came %v late", worst)
		}
		if o := s.source.outcome(); o.Delivered < 840*500*9/10 || o.Refused > 0 {
			t.Errorf("got %s", outcome(o))
		}
	})
}

func TestStatsAndStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, config("http://x"))
		n := 0
		s.through(t, func(w http.ResponseWriter, r *http.Request, x received) {
			if n++; n == 1 {
				http.Error(w, "later", 503)
				return
			}
			ok(w, r, x)
		})
		s.source.fill(series(10), 1, time.Now(), time.Second)
		stop := s.start()
		time.Sleep(500 * time.Millisecond)
		text := s.metrics(t)
		for _, want := range []string{`failing{destination="test",reason="http_503"} 1`, `waiting{destination="test"} 1`, `last_status{destination="test"} 503`} {
			if !strings.Contains(text, "headend_agent_remote_write_"+want) {
				t.Errorf("no %s in\n%s", want, text)
			}
		}
		st := s.sender.Status()
		if st.Trouble != "HTTP 503: later" || st.Waiting <= 0 || st.LastStatus != 503 {
			t.Errorf("status %+v", st)
		}
		time.Sleep(time.Minute)
		text = s.metrics(t)
		for _, want := range []string{`failing{destination="test",reason="none"} 0`, `waiting{destination="test"} 0`, `requests_total{destination="test",status="503"} 1`,
			`requests_total{destination="test",status="204"} 1`, `retries_total{destination="test"} 1`, `samples_sent_total{destination="test"} 20`,
			`batches_total{destination="test"} 1`, `protocol{destination="test",protocol="2.0"} 1`, `clock_offset_seconds{destination="test"} `} {
			if !strings.Contains(text, "headend_agent_remote_write_"+want) {
				t.Errorf("no %s in\n%s", want, text)
			}
		}
		if st := s.sender.Status(); st.Trouble != "" || !st.Confirmed || st.HighestSent.IsZero() {
			t.Errorf("status %+v", st)
		}
		stop()
	})
}

func TestBuffersShrinkAfterABurst(t *testing.T) {
	_, url := serve(t, ok)
	s := newSetup(t, config(url))
	s.source.split = true
	refs := series(20_000)
	s.source.fill(refs, 1, time.Now(), time.Second)
	for range 6 { // a burst
		s.source.fill(refs[:2000], 20, time.Now(), time.Second)
	}
	s.source.split = false
	s.run(t, s.drained)
	b := s.sender.lanes[0].builder
	if cap(b.v2.body) <= keepBody {
		t.Fatalf("%d bytes are no burst", cap(b.v2.body))
	}
	s.source.split = true
	s.source.fill(refs[:10], keepQuiet+2, time.Now(), time.Second)
	s.run(t, s.drained)
	if n := cap(b.v2.body); n > keepBody {
		t.Errorf("%d bytes are held", n)
	}
}
