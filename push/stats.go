package push

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"headend-agent/internal/metric"
)

// stats is what a sender counts.
type stats struct {
	mu       sync.Mutex
	requests map[int]uint64 // by status, 0 where no answer came
	retries  uint64
	batches  uint64
	samples  uint64
	ages     uint64 // samples sent alone to find out what is too old
	risked   uint64 // samples sent again though the receiver may have them
	bytes    uint64
	seconds  float64
	status   int           // of the last answer
	at       time.Time     // of the last request's end
	newest   int64         // ms: the newest sample of which the batch was delivered
	ahead    time.Duration // of the receiver's clock, where dated
	dated    bool
}

func (s *stats) request(samples int, again, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples += uint64(samples)
	if again {
		s.retries++
	}
	if open {
		s.risked += uint64(samples)
	}
}

func (s *stats) answer(a answer, sent int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(&a, sent)
	s.status, s.at = a.status, time.Now()
	if a.dated {
		s.dated, s.ahead = true, a.ahead
	}
}

func (s *stats) ageRequest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ages++
}

// aside counts a request without samples: what it was answered is not the state of the destination.
func (s *stats) aside(a answer, sent int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(&a, sent)
}

// count adds a request to those that were made. The caller holds s.mu.
func (s *stats) count(a *answer, sent int) {
	if s.requests == nil {
		s.requests = map[int]uint64{}
	}
	s.requests[a.status]++
	s.bytes += uint64(sent)
	s.seconds += a.took.Seconds()
}

func (s *stats) batch(b *metric.Batch, o metric.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	if o.Delivered > 0 {
		s.newest = max(s.newest, newest(b.Series))
	}
}

func descriptor(name, help string, t metric.Type, unit metric.Unit, labels ...string) *metric.Desc {
	return &metric.Desc{Name: "headend_agent_remote_write_" + name, Help: help, Type: t, Unit: unit, Labels: append([]string{"destination"}, labels...)}
}

var (
	requestsTotal = descriptor("requests_total", "Requests, those of metadata included, by HTTP status; none where no answer came.", metric.Counter, metric.None, "status")
	retriesTotal  = descriptor("retries_total", "Requests that repeated an earlier one.", metric.Counter, metric.None)
	batchesTotal  = descriptor("batches_total", "Batches brought to their end.", metric.Counter, metric.None)
	samplesTotal  = descriptor("samples_sent_total", "Samples in requests, repeats included.", metric.Counter, metric.None)
	repeatRisked  = descriptor("samples_repeat_risked_total", "Samples sent again after an answer was lost or not to be believed: the receiver may have got them twice.", metric.Counter, metric.None)
	ageRequests   = descriptor("age_requests_total", "Requests of one sample that find out which age the receiver refuses.", metric.Counter, metric.None)
	bytesTotal    = descriptor("bytes_total", "Bytes of request bodies, compressed.", metric.Counter, metric.Bytes)
	secondsTotal  = descriptor("request_seconds_total", "Time that requests took.", metric.Counter, metric.Seconds)
	pacedSeconds  = descriptor("paced_seconds_total", "Time that requests of a backlog were put off.", metric.Counter, metric.Seconds)
	waiting       = descriptor("waiting", "1 while the sender waits before another attempt.", metric.Gauge, metric.None)
	failing       = descriptor("failing", "1 while nothing gets through, by kind of failure.", metric.Gauge, metric.None, "reason")
	lastStatus    = descriptor("last_status", "HTTP status of the last request; 0 where no answer came.", metric.Gauge, metric.None)
	protocolInUse = descriptor("protocol", "1 for the protocol in use.", metric.Gauge, metric.None, "protocol")
	highestSent   = descriptor("highest_sent_timestamp_seconds", "Time of the newest sample that was delivered.", metric.Gauge, metric.Seconds)
	clockOffset   = descriptor("clock_offset_seconds", "How far the receiver's clock is ahead of this host's, within about a second.", metric.Gauge, metric.Seconds)
	bodyLimit     = descriptor("body_limit_bytes", "Largest body that is sent, as far as learned.", metric.Gauge, metric.Bytes)
	sampleLimit   = descriptor("request_limit_samples", "Samples that the next request may hold, as far as learned.", metric.Gauge, metric.None)
	suspectSeries = descriptor("suspect_series", "Series that the receiver has refused, sent apart from the others.", metric.Gauge, metric.None)
	mutedSeries   = descriptor("muted_series", "Series left out for a while because the receiver always refused them.", metric.Gauge, metric.None)
)

// Descs lists what Collect emits.
func Descs() []*metric.Desc {
	return []*metric.Desc{requestsTotal, retriesTotal, batchesTotal, samplesTotal, repeatRisked, ageRequests, bytesTotal, secondsTotal, pacedSeconds, waiting, failing,
		lastStatus, protocolInUse, highestSent, clockOffset, bodyLimit, sampleLimit, suspectSeries, mutedSeries}
}

// Collect adds the sender's own numbers.
func (s *Sender) Collect(_ context.Context, out *metric.Set) error {
	name := s.cfg.Destination()
	all, mute := s.suspects.counts(time.Now())
	class, _, _ := s.report.now()
	out.Add(waiting, oneIf(s.backoff.left() > 0), name)
	if class == "" {
		out.Add(failing, 0, name, "none")
	} else {
		out.Add(failing, 1, name, class)
	}
	out.Add(protocolInUse, 1, name, s.receiver.state().proto.name)
	out.Add(bodyLimit, float64(s.receiver.bodyLimit()), name)
	out.Add(sampleLimit, float64(s.receiver.room()), name)
	out.Add(pacedSeconds, s.pace.waited().Seconds(), name)
	out.Add(suspectSeries, float64(all), name)
	out.Add(mutedSeries, float64(mute), name)

	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	for _, status := range slices.Sorted(maps.Keys(s.stats.requests)) {
		out.Add(requestsTotal, float64(s.stats.requests[status]), name, statusText(status))
	}
	out.Add(retriesTotal, float64(s.stats.retries), name)
	out.Add(batchesTotal, float64(s.stats.batches), name)
	out.Add(samplesTotal, float64(s.stats.samples), name)
	out.Add(repeatRisked, float64(s.stats.risked), name)
	out.Add(ageRequests, float64(s.stats.ages), name)
	out.Add(bytesTotal, float64(s.stats.bytes), name)
	out.Add(secondsTotal, s.stats.seconds, name)
	if !s.stats.at.IsZero() {
		out.Add(lastStatus, float64(s.stats.status), name)
	}
	if s.stats.newest > 0 {
		out.Add(highestSent, float64(s.stats.newest)/1000, name)
	}
	if s.stats.dated {
		out.Add(clockOffset, s.stats.ahead.Seconds(), name)
	}
	return nil
}

func statusText(status int) string {
	if status == 0 {
		return "none"
	}
	return strconv.Itoa(status)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
