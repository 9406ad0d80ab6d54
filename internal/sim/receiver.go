package sim

import (
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"headend-agent/internal/metric"
)

// receiver is a remote-write receiver with a server of its own on the simulated network.
type receiver struct {
	name   string
	world  *world
	link   *link
	server *http.Server
	done   chan struct{}

	mu       sync.Mutex
	manner   manner
	requests int
	knew2    bool                   // it has taken 2.0
	since2   int                    // requests in 1.0 that it has taken after that
	asked    wish                   // what it has asked for last
	hopeless [mostAMinute]time.Time // when the last answers went out that were the same whatever came
	answers  int                    // of those, ever
	repeated map[uint64]int         // by hash of the body: answers in a row that a smaller request would not have got
	tardy    tardiness
}

// manner is how a receiver behaves.
type manner struct {
	Protocols    string        // both, v1, v2
	Zstd         bool          // it takes VictoriaMetrics' form of 1.0
	Status       int           // the answer to everything; 0: none
	HTML         bool          // answers other than its own have an HTML body
	Portal       string        // html, plain: everything gets a 200 and goes nowhere
	RetryAfter   int           // seconds, with Status
	MostSamples  int           // of a request; 0: any
	MostBytes    int           // of a body; 0: any
	TooMuch      int           // the answer beyond these
	OldestAge    time.Duration // older samples are refused; 0: none
	Poisoned     int           // one series in so many is refused; 0: none
	StoreRefuse  bool          // it stores a request and answers 400
	Quiet        bool          // it says 2xx by 2.0 though it has not written all
	LoseAnswer   int           // one answer in so many is lost after the request was stored; 0: none
	Slow         time.Duration // before each answer
	SlowBySample time.Duration // before each answer, for each sample: a large request takes longer than anybody waits
}

func newReceiver(w *world, name string, protocols string) *receiver {
	r := &receiver{name: name, world: w, link: w.net.link(name), done: make(chan struct{}), repeated: map[uint64]int{}}
	r.manner = manner{Protocols: protocols}
	r.server = &http.Server{Handler: r, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { defer close(r.done); r.server.Serve(r.link.listener) }()
	return r
}

func (r *receiver) close() {
	r.server.Close()
	r.link.cut()
	<-r.done
}

func (r *receiver) behave(change func(*manner)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.manner)
}

// heal makes the receiver take everything in the protocols that it has.
func (r *receiver) heal() {
	r.behave(func(m *manner) { *m = manner{Protocols: m.Protocols, Zstd: m.Zstd} })
	r.link.heal()
}

func (r *receiver) begin() (m manner, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	return r.manner, r.requests
}

func (r *receiver) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	started := time.Now()
	r.early()
	out.Header().Set("Date", r.world.trueTime().UTC().Format(http.TimeFormat))
	body, err := io.ReadAll(in.Body)
	if err != nil {
		r.late(in, nil)
		return
	}
	m, n := r.begin()
	time.Sleep(m.Slow)
	switch {
	case m.Portal == "html":
		out.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(out, "<!DOCTYPE html><html><body>Please log in</body></html>")
		return
	case m.Portal == "plain":
		io.WriteString(out, "ok")
		return
	case m.Status != 0:
		r.hammered()
		if m.RetryAfter > 0 {
			out.Header().Set("Retry-After", fmt.Sprint(m.RetryAfter))
			if r.isMinded(m.Status) && r.reaches(in, started) { // that one is cut at once
				r.ask(time.Duration(m.RetryAfter) * time.Second)
			}
		}
		r.answer(out, m, m.Status)
		return
	case m.MostBytes > 0 && len(body) > m.MostBytes:
		r.tooMuch(out, m, body)
		return
	}
	if status := refuseProtocol(in, m); status != 0 {
		r.answer(out, m, status)
		return
	}
	w, err := decode(in, body)
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	r.look(w)
	if m.MostSamples > 0 && w.samples > m.MostSamples {
		r.tooMuch(out, m, body)
		return
	}
	time.Sleep(min(time.Duration(w.samples)*m.SlowBySample, longestWork))
	if w.samples > fewSamples && m.SlowBySample > 0 && in.Context().Err() != nil {
		r.late(in, body)
	}
	r.take(out, in, m, n, w, started)
}

// answer gives a status that is not about the data.
func (r *receiver) answer(out http.ResponseWriter, m manner, status int) {
	if m.HTML {
		out.Header().Set("Content-Type", "text/html")
	}
	out.WriteHeader(status)
	io.WriteString(out, "<html>no</html>")
}

// maxIdentical bounds how often one request may be sent that is refused for its size alone.
const maxIdentical = 12

// tooMuch refuses a request for its size, and counts how often the very same one comes.
func (r *receiver) tooMuch(out http.ResponseWriter, m manner, body []byte) {
	h := fnv.New64a()
	h.Write(body)
	r.mu.Lock()
	r.repeated[h.Sum64()]++
	times := r.repeated[h.Sum64()]
	r.mu.Unlock()
	if times == maxIdentical+1 {
		r.world.fail("progress: %s got one request that is too large (HTTP %d) %d times", r.name, m.TooMuch, times)
	}
	r.answer(out, m, m.TooMuch)
}

func isV2(in *http.Request) bool { return strings.Contains(in.Header.Get("Content-Type"), "write.v2") }

func refuseProtocol(in *http.Request, m manner) int {
	switch {
	case isV2(in) && m.Protocols == "v1", !isV2(in) && m.Protocols == "v2":
		return http.StatusUnsupportedMediaType
	case in.Header.Get("Content-Encoding") == "zstd" && !m.Zstd:
		return http.StatusUnsupportedMediaType
	}
	return 0
}

// written is a decoded request.
type written struct {
	series  []writtenSeries
	samples int
}

type writtenSeries struct {
	labels metric.Labels     // without external ones
	extern map[string]string // those
	points []metric.Point
}

var external = map[string]bool{"instance": true, "job": true, "site": true, "relabelled": true}

func decode(in *http.Request, body []byte) (w written, err error) {
	if in.Header.Get("Content-Encoding") == "zstd" {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return w, err
		}
		defer d.Close()
		if body, err = d.DecodeAll(body, nil); err != nil {
			return w, err
		}
	} else if body, err = snappy.Decode(nil, body); err != nil {
		return w, err
	}
	if isV2(in) {
		var m writev2.Request
		if err := m.Unmarshal(body); err != nil {
			return w, err
		}
		for i := range m.Timeseries {
			ts := &m.Timeseries[i]
			var labels []metric.Label
			for k := 0; k+1 < len(ts.LabelsRefs); k += 2 {
				labels = append(labels, metric.Label{Name: m.Symbols[ts.LabelsRefs[k]], Value: m.Symbols[ts.LabelsRefs[k+1]]})
			}
			x := newWrittenSeries(labels)
			for _, s := range ts.Samples {
				x.points = append(x.points, metric.Point{TimeMs: s.Timestamp, Value: s.Value})
			}
			w.add(x)
		}
		return w, nil
	}
	var m prompb.WriteRequest
	if err := m.Unmarshal(body); err != nil {
		return w, err
	}
	for i := range m.Timeseries {
		ts := &m.Timeseries[i]
		var labels []metric.Label
		for _, l := range ts.Labels {
			labels = append(labels, metric.Label{Name: l.Name, Value: l.Value})
		}
		x := newWrittenSeries(labels)
		for _, s := range ts.Samples {
			x.points = append(x.points, metric.Point{TimeMs: s.Timestamp, Value: s.Value})
		}
		w.add(x)
	}
	return w, nil
}

func newWrittenSeries(labels []metric.Label) writtenSeries {
	x := writtenSeries{extern: map[string]string{}}
	var own []metric.Label
	for _, l := range labels {
		if external[l.Name] {
			x.extern[l.Name] = l.Value
		} else {
			own = append(own, l)
		}
	}
	x.labels = metric.NewLabels(own)
	return x
}

// look checks what a request says beside its samples.
func (r *receiver) look(w written) {
	site := r.world.site()
	seen := map[metric.Labels]bool{}
	for i := range w.series {
		s := &w.series[i]
		if seen[s.labels] {
			r.world.fail("truth: %s receives %s twice in one request", r.name, s.labels)
			return
		}
		seen[s.labels] = true
		if s.extern["instance"] != "simulated" || s.extern["job"] != "headend" || site != "" && s.extern["site"] != site {
			r.world.fail("truth: %s receives %s with the external labels %v", r.name, s.labels, s.extern)
			return
		}
	}
}

func (w *written) add(s writtenSeries) {
	w.series = append(w.series, s)
	w.samples += len(s.points)
}

// take stores what the receiver is willing to store, and answers.
func (r *receiver) take(out http.ResponseWriter, in *http.Request, m manner, n int, w written, started time.Time) {
	d, arrived := r.world.destination(r.name), r.world.clock.elapsed()-time.Since(started)
	v2 := isV2(in)
	oldest := int64(-1 << 62)
	if m.OldestAge > 0 {
		oldest = r.world.trueTime().Add(-m.OldestAge).UnixMilli()
	}
	willing := func(s *writtenSeries, p metric.Point) bool {
		return p.TimeMs >= oldest && (m.Poisoned == 0 || !poisoned(s.labels, m.Poisoned))
	}
	bad := 0
	for i := range w.series {
		for _, p := range w.series[i].points {
			if !willing(&w.series[i], p) {
				bad++
			}
		}
	}
	whole := !v2 && bad > 0 // 1.0 refuses a request as a whole
	var kept, not []sample
	for i := range w.series {
		s := &w.series[i]
		for _, p := range s.points {
			if whole || !willing(s, p) {
				if x, ok := r.world.ledger.find(r.name, s.labels, p); ok && !willing(s, p) {
					not = append(not, x)
				}
				continue
			}
			if x, ok := r.world.ledger.store(r.name, s.labels, p.TimeMs, p.Value, arrived, d.inOrder()); ok {
				kept = append(kept, x)
			}
		}
	}
	r.world.ledger.mark(r.name, not, refused)
	if r.doubted(v2) {
		r.world.ledger.mark(r.name, kept, mayRepeat)
	}
	if m.LoseAnswer > 0 && n%m.LoseAnswer == 0 {
		r.link.cut()
		return
	}
	if v2 {
		h := out.Header()
		h.Set("X-Prometheus-Remote-Write-Samples-Written", fmt.Sprint(len(kept)))
		h.Set("X-Prometheus-Remote-Write-Histograms-Written", "0")
		h.Set("X-Prometheus-Remote-Write-Exemplars-Written", "0")
	}
	switch {
	case m.StoreRefuse || bad > 0 && !(v2 && m.Quiet):
		if m.StoreRefuse && v2 {
			out.Header().Del("X-Prometheus-Remote-Write-Samples-Written")
			out.Header().Del("X-Prometheus-Remote-Write-Histograms-Written")
			out.Header().Del("X-Prometheus-Remote-Write-Exemplars-Written")
		}
		http.Error(out, "out of bounds", http.StatusBadRequest)
	default:
		out.WriteHeader(http.StatusNoContent)
		if r.reaches(in, started) {
			sent := time.Now()
			time.AfterFunc(r.link.oneWay()+time.Millisecond, func() {
				if !r.link.cutSince(sent) {
					r.world.ledger.answer(r.name, kept, r.world.clock.elapsed())
				}
			})
		}
	}
}

// remembered notes that an agent starts, whose record may say that 2.0 is known.
func (r *receiver) remembered() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since2 = 0
}

// doubted notes a request that was taken, and tells whether it may come again, though all was well: where 2.0 was known before, the
// agent wants to see twice that 1.0 is taken, in each of its lanes.
func (r *receiver) doubted(v2 bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v2 {
		r.knew2, r.since2 = true, 0
		return false
	}
	r.since2++
	return r.knew2 && r.since2 <= 4
}

// reaches tells whether an answer that goes out now gets to the sender, unless its connection is cut.
func (r *receiver) reaches(in *http.Request, started time.Time) bool {
	return r.link.answers() && in.Context().Err() == nil && time.Since(started) < answerTime
}

// isMinded tells whether Retry-After matters: what is too large is cut at once, and to the letter of the specification a batch is
// dropped, and the next one sent.
func (r *receiver) isMinded(status int) bool {
	drops := r.world.destination(r.name).setup.Drop && status/100 == 4 && status != http.StatusTooManyRequests
	return status != http.StatusRequestEntityTooLarge && !drops
}

// wish is what a receiver asks for with Retry-After.
type wish struct {
	at, until time.Time
	applied   int64 // a sender that began later has not heard of it
}

func (r *receiver) ask(wait time.Duration) {
	const most, slack = 10 * time.Minute, 3 * time.Second // DESIGN; the answer's way
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = wish{now, now.Add(min(wait, most) - slack), r.world.applied.Load()}
}

// early notes a request that comes before the time that the receiver has asked for. With two lanes one may be on its way.
func (r *receiver) early() {
	r.mu.Lock()
	p := r.asked
	r.mu.Unlock()
	d := r.world.destination(r.name)
	if time.Now().Before(p.until) && p.applied == r.world.applied.Load() && !d.setup.LiveFirst && !r.link.cutSince(p.at) {
		r.world.fail("progress: %s is asked again after %s, which has asked for %s or more", r.name, time.Since(p.at), p.until.Sub(p.at))
	}
}

// mostAMinute bounds how often a receiver is asked that answers the same to everything.
const mostAMinute = 120

func (r *receiver) hammered() {
	r.mu.Lock()
	last := &r.hopeless[r.answers%mostAMinute]
	since := time.Since(*last)
	*last = time.Now()
	r.answers++
	again := r.answers > mostAMinute && since < time.Minute
	r.mu.Unlock()
	if again {
		r.world.fail("progress: %s is asked more than %d times in %s while it refuses everything", r.name, mostAMinute, since)
	}
}

// tardiness is how often the same request did not get through in time.
type tardiness struct {
	body    uint64 // its hash, or its length where it has not come to its end
	applied int64  // by the same sender
	times   int
}

// mostTardy bounds that: after three times a request is made smaller, unless it has few samples.
const (
	mostTardy  = 5
	fewSamples = 100
)

// late notes a request that its sender has given up.
func (r *receiver) late(in *http.Request, body []byte) {
	t := tardiness{uint64(in.ContentLength), r.world.applied.Load(), 1}
	if body != nil {
		h := fnv.New64a()
		h.Write(body)
		t.body = h.Sum64()
	}
	r.mu.Lock()
	if last := r.tardy; last.body == t.body && last.applied == t.applied {
		t.times += last.times
	}
	r.tardy = t
	r.mu.Unlock()
	if t.times == mostTardy+1 {
		r.world.fail("progress: %s got one request of %d bytes that takes too long %d times", r.name, in.ContentLength, t.times)
	}
}

// longestWork bounds how long a receiver works on a request.
const longestWork = 10 * time.Minute

// answerTime is within what an answer reaches every sender before it gives up: remote_timeout, less the way there and back.
const answerTime = 20 * time.Second

func (l *link) oneWay() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latency
}

func (l *link) cutSince(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.lastCut.Before(t)
}

func (l *link) answers() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.deaf && !l.blackhole && l.latency < time.Second && l.bandwidth == 0
}

// find is lookup for a sample that is not stored.
func (l *ledger) find(destination string, labels metric.Labels, p metric.Point) (sample, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lookup(destination, labels, p.TimeMs, p.Value)
}

// poisoned tells whether a series is one of those that the receiver refuses.
func poisoned(labels metric.Labels, oneIn int) bool {
	h := fnv.New32a()
	io.WriteString(h, string(labels))
	return int(h.Sum32())%oneIn == 0
}
