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

// longestWork bounds how long a receiver works on a request.
const longestWork = 10 * time.Minute

// answerTime is within what an answer reaches every sender before it gives up: remote_timeout, less the way there and back.
const answerTime = 20 * time.Second

// poisoned tells whether a series is one of those that the receiver refuses.
func poisoned(labels metric.Labels, oneIn int) bool {
	h := fnv.New32a()
	io.WriteString(h, string(labels))
	return int(h.Sum32())%oneIn == 0
}
