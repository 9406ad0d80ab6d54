package push

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"

	"headend-agent/internal/metric"
)

// narrow is a receiver, and the line to it, that does not take every request. It stores what it takes, and keeps account.
type narrow struct {
	t     *testing.T
	limit func(x received) (status int, after time.Duration) // the answer and how long it takes; 0: accept

	mu       sync.Mutex
	stored   map[string]map[int64]bool
	repeated int           // samples that were stored already
	lag      time.Duration // the worst of fresh samples, since measure
	measure  time.Time
	sizes    []int // samples of all requests
	accepted int   // requests
	last     []byte
	same     int // requests in a row that were alike
	mostSame int

	line float64   // bytes/s of a line that ends in a proxy which has taken the whole body by then; 0: no such line
	free time.Time // when the line is
}

func (n *narrow) RoundTrip(r *http.Request) (*http.Response, error) {
	var answer *http.Response
	var err error
	wait := func(d time.Duration) { time.Sleep(d) }
	_, err = wire(func(r *http.Request, body []byte) (*http.Response, error) {
		x := decodeRequest(n.t, r.Header, body)
		n.mu.Lock()
		switch {
		case x.aside(): // metadata is the same each time, and should be
		case string(body) == string(n.last):
			n.same++
		default:
			n.same, n.last = 1, slices.Clone(body)
		}
		n.mostSame = max(n.mostSame, n.same)
		if !x.aside() {
			n.sizes = append(n.sizes, x.n)
		}
		var carry time.Duration
		if n.line > 0 {
			start := later(time.Now(), n.free)
			n.free = start.Add(time.Duration(float64(len(body)) / n.line * float64(time.Second)))
			carry = time.Until(n.free)
		}
		n.mu.Unlock()
		done := make(chan struct{})
		go func() { // whatever becomes of the client, the proxy delivers what it has
			defer close(done)
			wait(carry)
			status, after := n.limit(x)
			wait(after)
			w := httptest.NewRecorder()
			if status == 0 {
				n.store(x)
				ok(w, r, x)
			} else {
				w.Header().Set("Retry-After", w.Header().Get("Retry-After"))
				http.Error(w, "too much", status)
			}
			answer = w.Result()
		}()
		select {
		case <-done:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		return answer, nil
	}).RoundTrip(r)
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (n *narrow) store(x received) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.accepted++
	for _, s := range x.series {
		if n.stored[s.labels] == nil {
			n.stored[s.labels] = map[int64]bool{}
		}
		for _, ms := range s.times {
			if n.stored[s.labels][ms] {
				n.repeated++
			}
			n.stored[s.labels][ms] = true
			if at := time.UnixMilli(ms); !n.measure.IsZero() && at.After(n.measure) {
				n.lag = max(n.lag, time.Since(at))
			}
		}
	}
}

func (n *narrow) samples() (sum int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.stored {
		sum += len(s)
	}
	return sum
}

// TestReceiversThatTakeOnlySo is fault 8's: whatever a receiver limits, the backlog falls, fresh samples get through, and no request
// is repeated for ever.
func TestReceiversThatTakeOnlySo(t *testing.T) {
	pass := func(received) (int, time.Duration) { return 0, 0 }
	limits := map[string]struct {
		limit   func(begin time.Time) func(received) (int, time.Duration)
		line    float64
		same    int           // requests alike, at most
		lag     time.Duration // of fresh samples, in the end
		largest int           // at least so many samples in a request in the end
	}{
		"429 to more than 20,000": {limit: more(20_000, 429, 0), same: 4, largest: 10_000},
		"429 to more than 100":    {limit: more(100, 429, 0), same: 4, largest: 50},
		"503 to more than 3,000":  {limit: more(3_000, 503, 0), same: 4, largest: 1_500},
		"504 to more than 5,000":  {limit: more(5_000, 504, 10*time.Second), same: 4, largest: 2_500},
		"413 to more than 30 kB": {limit: func(time.Time) func(received) (int, time.Duration) {
			return func(x received) (int, time.Duration) {
				if len(x.packed) > 30_000 {
					return 413, 0
				}
				return 0, 0
			}
		}, same: 1, largest: 3_000},
		"no answer to more than 5,000": {limit: more(5_000, 200, 20*time.Minute), same: 4, largest: 2_500, lag: 5 * time.Minute},
		"429 for ten minutes": {limit: func(begin time.Time) func(received) (int, time.Duration) {
			return func(received) (int, time.Duration) {
				if time.Since(begin) < 10*time.Minute {
					return 429, 0
				}
				return 0, 0
			}
		}, same: 20, largest: 20_000},
		"2 kB/s": {limit: func(time.Time) func(received) (int, time.Duration) { return pass }, line: 2048, same: 2, largest: 100},
	}
	for name, c := range limits {
		for variant, change := range variants {
			if variant == "drop" || variant == "zstd" {
				continue
			}
			t.Run(name+"/"+variant, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newSetup(t, config("http://x", change, func(c *Config) { c.FlushInterval = model.Duration(5 * time.Second) }))
					n := &narrow{t: t, limit: c.limit(time.Now()), line: c.line, stored: map[string]map[int64]bool{}}
					s.source.lanes = s.cfg.Order == OrderLiveFirst
					for _, l := range s.sender.lanes {
						l.client.http.Transport = n
					}
					wide, thin := series(200), series(220)[200:]
					backlog := 500
					if c.line > 0 {
						backlog = 100
					}
					s.source.fill(wide, backlog, ago(2*time.Hour), 10*time.Second)
					time.Sleep(time.Minute)
					stop := s.start()
					rounds := 0
					for range 360 {
						s.source.fill(thin, 1, time.Now(), time.Second)
						rounds++
						time.Sleep(10 * time.Second)
						if rounds == 300 {
							n.mu.Lock()
							n.measure, n.sizes = time.Now(), nil
							n.mu.Unlock()
							s.source.fill(wide, backlog/2, time.Now(), time.Millisecond) // once more something larger
						}
					}
					time.Sleep(30 * time.Minute)
					stop()
					time.Sleep(time.Hour) // for what is still on the line
					appended := 200*(backlog+backlog/2) + 20*rounds
					o := s.source.outcome()
					if o.Delivered+o.Uncertain != appended || o.Refused > 0 || len(o.Dropped) > 0 {
						t.Errorf("%d appended: %s", appended, outcome(o))
					}
					check(t, "stored", n.samples(), appended)
					if n.mostSame > c.same {
						t.Errorf("%d requests alike", n.mostSame)
					}
					if risked := int(s.sender.stats.risked); n.repeated > risked {
						t.Errorf("%d samples came twice, %d are counted", n.repeated, risked)
					}
					if got := slices.Max(n.sizes); got < c.largest {
						t.Errorf("the largest request had %d samples in the end", got)
					}
					if n.lag > max(c.lag, 3*time.Minute) {
						t.Errorf("fresh samples came %v late", n.lag)
					}
					if lines := strings.Count(s.log.String(), "\n"); lines > 60 {
						t.Errorf("%d lines of log", lines)
					}
				})
			})
		}
	}
}

// more answers with a status, after some time, to what has more than so many samples.
func more(samples, status int, after time.Duration) func(time.Time) func(received) (int, time.Duration) {
	return func(time.Time) func(received) (int, time.Duration) {
		return func(x received) (int, time.Duration) {
			if x.n > samples {
				return status, after
			}
			return 0, 0
		}
	}
}

// TestAFewSecondsOf413 is fault 4's.
func TestAFewSecondsOf413(t *testing.T) {
	for variant, change := range map[string]func(*Config){"1.0": v1Only, "auto": func(*Config) {}} {
		t.Run(variant, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSetup(t, config("http://x", change))
				var begin time.Time
				refused, largest := 0, 0
				s.through(t, func(w http.ResponseWriter, r *http.Request, x received) {
					if d := time.Since(begin); d >= 0 && d < 15*time.Second {
						refused++
						http.Error(w, "<html>413</html>", http.StatusRequestEntityTooLarge)
						return
					}
					largest = max(largest, x.n)
					ok(w, r, x)
				})
				s.source.fill(series(1000), 3, ago(time.Hour), time.Second)
				begin = time.Now().Add(time.Minute)
				stop := s.start()
				time.Sleep(time.Minute)
				s.source.fill(series(1000), 400, ago(30*time.Minute), time.Second)
				time.Sleep(5 * time.Minute)
				stop()
				check(t, "outcome", outcome(s.source.outcome()), "delivered 403000 refused 0 uncertain 0 dropped map[]")
				if refused > 10 {
					t.Errorf("%d requests in 15 s of 413", refused)
				}
				if largest < 40_000 {
					t.Errorf("later requests had %d samples at most", largest)
				}
				if f := strings.Fields(s.sender.source.Note()); len(f) > 0 && f[2] != "0" {
					t.Errorf("note %q", f)
				}
				if n := strings.Count(s.log.String(), "a request may be too large"); n != 1 {
					t.Errorf("said %d times:\n%s", n, s.log)
				}
			})
		})
	}
}

// Where even small requests are too large, something is wrong with the envelope: everything is kept, and nobody is hammered.
func TestA413ToEverythingForHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, config("http://x"))
		begin, n := time.Now(), 0
		s.through(t, func(w http.ResponseWriter, r *http.Request, x received) {
			if time.Since(begin) < 3*time.Hour {
				n++
				w.WriteHeader(http.StatusRequestEntityTooLarge)
				return
			}
			ok(w, r, x)
		})
		s.source.fill(series(1000), 100, ago(time.Hour), time.Second)
		stop := s.start()
		time.Sleep(4 * time.Hour)
		stop()
		check(t, "outcome", outcome(s.source.outcome()), "delivered 100000 refused 0 uncertain 0 dropped map[]")
		if n > 60 {
			t.Errorf("%d requests in three hours", n)
		}
		if text := s.log.String(); strings.Count(text, "the receiver does not let us in") > 1 || strings.Count(text, "\n") > 12 {
			t.Error(text)
		}
	})
}

// Only a sample that is larger by itself than what the receiver takes is given up, wherever in a batch it stands.
func TestALoneSampleThatIsTooLarge(t *testing.T) {
	for _, place := range []int{0, 5, 9} {
		synctest.Test(t, func(t *testing.T) {
			s := newSetup(t, config("http://x"))
			s.through(t, func(w http.ResponseWriter, r *http.Request, x received) {
				if len(x.packed) > 20_000 {
					w.WriteHeader(http.StatusRequestEntityTooLarge)
					return
				}
				ok(w, r, x)
			})
			refs := series(10)
			refs[place] = metric.NewTable().Intern(metric.LabelsOf("giant", "x", noise(40_000)), nil)
			s.source.fill(refs, 5, time.Now(), time.Second)
			stop := s.start()
			time.Sleep(10 * time.Minute)
			stop()
			check(t, "outcome", outcome(s.source.outcome()), "delivered 45 refused 0 uncertain 0 dropped map[too_large:5]")
		})
	}
}

// noise is text that does not compress.
func noise(n int) string {
	var b strings.Builder
	for x := uint64(1); b.Len() < n; {
		x = x*6364136223846793005 + 1442695040888963407
		fmt.Fprintf(&b, "%c%c%c", 'a'+x>>60, 'A'+x>>40%26, '0'+x>>33%64)
	}
	return b.String()
}

// Towards a receiver that takes full requests they grow, but not into one that then says no, again and again.
func TestRequestsGrowBeyondWhatIsSafe(t *testing.T) {
	for name, limit := range map[string]int{"all": 1 << 30, "50,000": 50_000} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSetup(t, config("http://x"))
				sizes, refused := []int{}, 0
				s.through(t, func(w http.ResponseWriter, r *http.Request, x received) {
					if x.n > limit {
						refused++
						w.WriteHeader(http.StatusTooManyRequests)
						return
					}
					sizes = append(sizes, x.n)
					ok(w, r, x)
				})
				s.source.fill(series(1000), 1500, ago(2*time.Hour), time.Second)
				time.Sleep(time.Minute)
				stop := s.start()
				time.Sleep(time.Hour)
				stop()
				check(t, "delivered", s.source.outcome().Delivered, 1_500_000)
				for i, n := range sizes[:3] {
					if n > maxSamples {
						t.Errorf("request %d had %d samples", i, n)
					}
				}
				if most := slices.Max(sizes); limit > maxSamples*2 && most < 2*maxSamples || limit < maxSamples*2 && most > maxSamples {
					t.Errorf("the largest one had %d samples", most)
				}
				if refused > 6 {
					t.Errorf("%d requests were refused", refused)
				}
			})
		})
	}
}

// TestBound is the life of one limit.
func TestBound(t *testing.T) {
	const safe, most = 1000, 4000
	now := time.Now()
	var b bound
	step := func(what string, size int, took bool, want int) {
		t.Helper()
		if took {
			b.took(size, safe, most, now)
		} else {
			b.failed(size, 1, safe, now)
		}
		check(t, what, b.at(safe), want)
	}
	step("a small size says nothing", 10, true, 1000)
	check(t, "patience", b.patience(1000, safe), cutAfter)
	step("one that failed", 1000, false, 500)
	step("the other lane's, which failed with it", 1000, false, 500)
	check(t, "patience in a fall", b.patience(500, safe), 1)
	step("further", 500, false, 250)
	step("taken", 250, true, 250)
	step("and again", 250, true, 500)
	check(t, "patience with a size that failed", b.patience(500, safe), 1)
	step("a trial that fails", 500, false, 250)
	step("small again", 250, true, 250)
	step("not before a minute is over", 250, true, 250)
	now = now.Add(holdFirst)
	step("and then", 250, true, 500)
	step("a trial that is taken", 500, true, 500)
	step("grows", 500, true, 1000)
	step("to what is safe", 1000, true, 1000)
	check(t, "not reduced", b.reduced(safe), false)
	step("and beyond", 1000, true, 2000)
	check(t, "patience beyond", b.patience(2000, safe), 1)
	step("which fails", 2000, false, 1000)
	for hold := holdFirst; hold <= 2*holdMost; hold *= 2 { // and each time later
		for range growAfter {
			step("grows", 1000, true, b.at(safe))
			if b.at(safe) == 1000 && !now.Before(b.until) {
				break
			}
		}
		now = later(now, b.until)
		for b.at(safe) == 1000 {
			b.took(1000, safe, most, now)
		}
		step("fails again", 2000, false, 1000)
		check(t, "hold", b.hold, min(hold, holdMost))
	}

	b = bound{}
	step("taken", 400, true, 1000)
	step("a larger one failed", 900, false, 450)
	step("taken again", 400, true, 450)
	check(t, "patience with what was taken", b.patience(400, safe), cutAfter)
	check(t, "patience between that and what failed", b.patience(450, safe), 1)

	b = bound{}
	for n := safe; n > 1; n /= 2 { // an outage
		b.failed(n, 1, safe, now)
	}
	b.failed(1, 1, safe, now)
	step("what had failed is taken, so it was not the size", 1, true, safe)
}
