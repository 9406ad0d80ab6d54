package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alecthomas/units"
	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"

	"headend-agent/internal/metric"
)

// The fleet is scaled down by 800 in samples: an agent has 3 series where a server of 200 streams has 2,400, its rounds come every minute,
// and a request holds 3 rounds where a real one holds 17 of 10 s. What is sent after two hours then takes as many requests, and, with
// backlog_bytes_per_second scaled as well, as long.
const (
	fleetAgents = 10_000
	fleetSeries = 3
	fleetRound  = time.Minute
	fleetBatch  = 3 // rounds
	fleetScale  = 800
	fleetOutage = 2 * time.Hour
	fleetSeen   = 11 * time.Minute // of the outage that is simulated; before it there is only the backlog
	fleetSpare  = 5                // the receiver takes so many times what comes in
)

// agentSource makes the rounds of an agent as they are asked for.
type agentSource struct {
	refs   []metric.Ref
	points []metric.Point // of all rounds, shared by the fleet; this agent's come offset later

	offset time.Duration
	next   int // round
	batch  metric.Batch
	held   int
	lag    func(time.Duration)
}

func (s *agentSource) due(i int) time.Time { return time.UnixMilli(s.points[i].TimeMs).Add(s.offset) }

// ready returns the end of the rounds that have come.
func (s *agentSource) ready() int {
	n, now := s.next, time.Now()
	for n < len(s.points) && !s.due(n).After(now) {
		n++
	}
	return n
}

func (s *agentSource) Next(ctx context.Context, limit metric.Limit) (*metric.Batch, error) {
	if s.held == 0 {
		if s.next == len(s.points) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if !sleep(ctx, time.Until(s.due(s.next).Add(limit.Linger))) {
			return nil, ctx.Err()
		}
		s.held = min(fleetBatch, s.ready()-s.next)
	}
	s.batch = metric.Batch{Count: s.held * len(s.refs), Series: s.batch.Series[:0]}
	for _, ref := range s.refs {
		s.batch.Series = append(s.batch.Series, metric.Samples{Ref: ref, Points: s.points[s.next : s.next+s.held]})
	}
	return &s.batch, nil
}

func (s *agentSource) Ack(b *metric.Batch, o metric.Outcome) {
	if o.Delivered != b.Count {
		panic(fmt.Sprintf("outcome %+v", o))
	}
	for i := range s.held {
		s.lag(time.Since(s.due(s.next + i)))
	}
	s.next, s.held = s.next+s.held, 0
}

func (s *agentSource) Fail(*metric.Batch, bool) {}
func (s *agentSource) Note() string             { return "" }
func (s *agentSource) SetNote(string)           {}
func (s *agentSource) Pending() (int, time.Duration) {
	n := s.ready() - s.next
	if n == 0 {
		return 0, 0
	}
	return n * len(s.refs), time.Since(s.due(s.next))
}

// center is the receiver of a fleet: it takes so many samples a second, lets requests wait for a while, and sends away what is more.
type center struct {
	mu       sync.Mutex
	up       time.Time
	capacity float64 // samples/s
	busy     time.Time
	taken    int
	refused  int // requests
	minutes  []int
}

const (
	centerQueue = 5 * time.Second
	perRequest  = 0.2 // of a sample's cost, beside its samples
)

func (c *center) take(r *http.Request, body []byte) (*http.Response, error) {
	now := time.Now()
	if now.Before(c.up) {
		if c.up.Sub(now) < time.Minute {
			return nil, errors.New("connection refused")
		}
		return response(http.StatusServiceUnavailable), nil
	}
	raw, err := snappy.Decode(nil, body)
	var req prompb.WriteRequest
	if err == nil {
		err = req.Unmarshal(raw)
	}
	if err != nil {
		return nil, err
	}
	n := 0
	for i := range req.Timeseries {
		n += len(req.Timeseries[i].Samples)
	}
	c.mu.Lock()
	start := later(now, c.busy)
	if start.Sub(now) > centerQueue {
		c.refused++
		c.mu.Unlock()
		return response(http.StatusTooManyRequests), nil
	}
	c.busy = start.Add(time.Duration((float64(n) + perRequest) / c.capacity * float64(time.Second)))
	end := c.busy
	c.taken += n
	minute := int(now.Sub(c.up) / time.Minute)
	for len(c.minutes) <= minute {
		c.minutes = append(c.minutes, 0)
	}
	c.minutes[minute] += n
	c.mu.Unlock()
	if !sleep(r.Context(), time.Until(end)) {
		return nil, r.Context().Err()
	}
	return response(http.StatusNoContent), nil
}

func response(status int) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}
}

// TestFleet lets 10,000 agents come back at once after two hours.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("takes most of a minute of CPU time")
	}
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		up := begin.Add(fleetSeen)
		live := float64(fleetAgents*fleetSeries) / fleetRound.Seconds()
		c := &center{up: up, capacity: fleetSpare * live * (1 + perRequest/fleetSeries)}
		refs := series(fleetSeries)
		backlog := int(fleetOutage / fleetRound)
		var points []metric.Point
		for i := range backlog + 60 {
			points = append(points, metric.Point{TimeMs: up.Add(-fleetOutage + time.Duration(i)*fleetRound).UnixMilli()})
		}
		var mu sync.Mutex
		var lags []time.Duration // of rounds that came after the return
		var last time.Time
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError}))
		for i := range fleetAgents {
			src := &agentSource{refs: refs, points: points, offset: fleetRound * time.Duration(i) / fleetAgents}
			src.lag = func(d time.Duration) {
				if due := time.Now().Add(-d); due.After(up) {
					mu.Lock()
					lags = append(lags, d)
					mu.Unlock()
				} else {
					mu.Lock()
					last = time.Now()
					mu.Unlock()
				}
			}
			cfg := config("http://center", v1Only, func(c *Config) {
				c.FlushInterval, c.BacklogBytesPerSecond = model.Duration(5*time.Second), DefaultConfig().BacklogBytesPerSecond/fleetScale*units.Base2Bytes(1)
			})
			s, err := New(cfg, src, Parts{Version: "fleet", Log: log})
			if err != nil {
				t.Fatal(err)
			}
			s.lanes[0].client.http = &http.Client{Transport: wire(c.take)}
			wg.Go(func() { s.Run(ctx) })
		}
		time.Sleep(fleetSeen + 45*time.Minute)
		cancel()
		wg.Wait()

		surplus := fleetSpare - 1
		best := fleetOutage / time.Duration(surplus)
		drain := last.Sub(up)
		slices.Sort(lags)
		t.Logf("%d agents after %v: drained in %v (%v is the least that %d times the inflow allows); %d requests sent away",
			fleetAgents, fleetOutage, drain.Round(time.Second), best, fleetSpare, c.refused)
		t.Logf("lag of what came meanwhile and in the 45 minutes: p50 %v, p99 %v", lags[len(lags)/2].Round(time.Second), lags[len(lags)*99/100].Round(time.Second))
		if want := fleetAgents * backlog * fleetSeries; c.taken < want {
			t.Errorf("%d of %d samples of the backlog arrived", c.taken, want)
		}
		if drain > best*5/4 {
			t.Errorf("the drain took %v, more than 1.25 of what it must", drain)
		}
		for m := 1; m < int(drain*8/10/time.Minute); m++ { // in the end there are only some left
			if rate := float64(c.minutes[m]) / 60 / (fleetSpare * live); rate < 0.8 {
				t.Errorf("minute %d: the receiver was used to %.0f %% of what it can", m, 100*rate)
			}
		}
	})
}
