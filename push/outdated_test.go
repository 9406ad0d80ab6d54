package push

import (
	"net/http"
	"testing"
	"time"
)

// step changes the times of all rounds, as the buffer does when the clock was stepped.
func (m *memory) step(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.rounds {
		m.rounds[i].TimeMs += d.Milliseconds()
	}
	close(m.outdated)
	m.outdated = make(chan struct{})
}

// The clock is stepped while a batch is in hand. What no receiver can have yet gets the right times; what one may
// have stays as it is.
func TestBatchWhoseTimesHaveChanged(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer int // to the first request, after which the clock is stepped back by a day
		step   time.Duration
	}{
		{"refused for now", http.StatusServiceUnavailable, 24 * time.Hour},
		{"perhaps taken", http.StatusGatewayTimeout, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s *setup
			f, url := serve(t, nil)
			f.answer = func(w http.ResponseWriter, r *http.Request, x received) {
				if len(f.requests()) > 1 {
					ok(w, r, x)
					return
				}
				s.source.step(-24 * time.Hour)
				w.WriteHeader(c.answer)
			}
			s = newSetup(t, config(url, v2Only))
			s.source.outdated = make(chan struct{})
			s.source.fill(series(10), 3, time.Now(), time.Second)
			s.run(t, s.drained)
			got := f.requests()
			check(t, "requests", len(got), 2)
			check(t, "samples", got[1].n, 30)
			moved := time.Duration(got[0].series[0].times[0]-got[1].series[0].times[0]) * time.Millisecond
			check(t, "times moved back by", moved, c.step)
			check(t, "outcome", outcome(s.source.outcome()), "delivered 30 refused 0 uncertain 0 dropped map[]")
		})
	}
}
