package push

import (
	"context"
	"strconv"
	"sync"
	"time"

	"headend-agent/internal/metric"
)

// stats is what a sender counts.
type stats struct {
	mu       sync.Mutex
	requests map[int]uint64 // by status, 0 where no answer came
	samples  uint64
	bytes    uint64
	seconds  float64
}

func (s *stats) request(samples int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples += uint64(samples)
}

func (s *stats) answer(a answer, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests == nil {
		s.requests = map[int]uint64{}
	}
	s.requests[a.status]++
	s.bytes += uint64(a.sent)
	s.seconds += took.Seconds()
}

var (
	requestsTotal = &metric.Desc{Name: "headend_agent_remote_write_requests_total", Help: "Requests, by HTTP status; none where no answer came.", Type: metric.Counter, Labels: []string{"destination", "status"}}
	samplesTotal  = &metric.Desc{Name: "headend_agent_remote_write_samples_sent_total", Help: "Samples in those requests, repeats included.", Type: metric.Counter, Labels: []string{"destination"}}
	bytesTotal    = &metric.Desc{Name: "headend_agent_remote_write_bytes_total", Help: "Bytes of request bodies, compressed.", Type: metric.Counter, Unit: metric.Bytes, Labels: []string{"destination"}}
	secondsTotal  = &metric.Desc{Name: "headend_agent_remote_write_request_seconds_total", Help: "Time that requests took.", Type: metric.Counter, Unit: metric.Seconds, Labels: []string{"destination"}}
	healthy       = &metric.Desc{Name: "headend_agent_remote_write_waiting", Help: "1 while the sender waits before another attempt.", Type: metric.Gauge, Labels: []string{"destination"}}
)

// Descs lists what Collect emits.
func Descs() []*metric.Desc {
	return []*metric.Desc{requestsTotal, samplesTotal, bytesTotal, secondsTotal, healthy}
}

// Collect adds the sender's own numbers.
func (s *Sender) Collect(_ context.Context, out *metric.Set) error {
	name := s.cfg.Destination()
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	for status, n := range s.stats.requests {
		text := "none"
		if status != 0 {
			text = strconv.Itoa(status)
		}
		out.Add(requestsTotal, float64(n), name, text)
	}
	out.Add(samplesTotal, float64(s.stats.samples), name)
	out.Add(bytesTotal, float64(s.stats.bytes), name)
	out.Add(secondsTotal, s.stats.seconds, name)
	waiting := 0.0
	if s.waiting.Load() {
		waiting = 1
	}
	out.Add(healthy, waiting, name)
	return nil
}
