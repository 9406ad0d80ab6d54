package push

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
)

func TestStop(t *testing.T) {
	for name, c := range map[string]struct {
		answer  func(w http.ResponseWriter, r *http.Request, x received)
		longest time.Duration
		drained bool
	}{
		"healthy":     {ok, time.Second, true},
		"backing off": {func(w http.ResponseWriter, r *http.Request, x received) { w.WriteHeader(503) }, 0, false},
		"slow": {func(w http.ResponseWriter, r *http.Request, x received) {
			sleep(r.Context(), 2*time.Second)
			ok(w, r, x)
		}, lastDrain, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSetup(t, config("http://x", func(c *Config) { c.FlushInterval = model.Duration(10 * time.Second) }))
				n := 0
				s.through(t, func(w http.ResponseWriter, r *http.Request, x received) { n++; c.answer(w, r, x) })
				s.source.split = true
				s.source.fill(series(10), 1, time.Now(), time.Second)
				stop := s.start()
				time.Sleep(5500 * time.Millisecond)
				s.source.fill(series(10), 10, time.Now(), time.Second)
				time.Sleep(time.Millisecond)
				before, begin := n, time.Now()
				stop()
				if d := time.Since(begin); d > c.longest {
					t.Errorf("took %v", d)
				}
				check(t, "drained", s.drained(), c.drained)
				if name == "backing off" {
					check(t, "requests after the stop", n-before, 0)
				}
			})
		})
	}
}

// A batch of which a part got through before a stop must come again as one that may be known.
func TestStopInTheMiddleOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, config("http://x", v1Only))
		n := 0
		s.through(t, func(w http.ResponseWriter, r *http.Request, x received) {
			if n++; n > 1 {
				w.WriteHeader(503)
				return
			}
			ok(w, r, x)
		})
		s.source.fill(series(maxSeries+100), 1, time.Now(), time.Second)
		stop := s.start()
		time.Sleep(time.Minute)
		stop()
		check(t, "last word to the source", s.source.fails[len(s.source.fails)-1], true)
	})
}

// A stop in a drain that is held back repeats nothing: what is left of the batch in hand is not held back any longer.
func TestStopInADrain(t *testing.T) {
	for name, change := range map[string]func(*Config){"1.0": v1Only, "2.0": v2Only} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSetup(t, config("http://x", change, func(c *Config) {
					c.BacklogBytesPerSecond, c.FlushInterval = 4*units.KiB, model.Duration(5*time.Second)
				}))
				var db tsdb
				requests := 0
				answer := func(w http.ResponseWriter, r *http.Request, x received) { requests++; db.answer(w, r, x) }
				s.through(t, answer)
				const wide, rounds = maxSeries + 100, 8 // each batch takes two requests
				s.source.fill(series(wide), rounds, ago(time.Hour), time.Minute)
				time.Sleep(time.Minute)
				stop := s.start()
				for range 1000 {
					if time.Sleep(100 * time.Millisecond); requests > 0 {
						break
					}
				}
				stop()
				check(t, "drained by the stop", s.drained(), false)
				s.again(t)
				s.through(t, answer)
				stop = s.start()
				time.Sleep(time.Hour)
				stop()
				check(t, "outcome", outcome(s.source.outcome()), "delivered 80800 refused 0 uncertain 0 dropped map[]")
				check(t, "stored", db.stored, wide*rounds)
			})
		})
	}
}
