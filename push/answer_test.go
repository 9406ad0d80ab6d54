package push

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

// TestVerdicts is the table of answers, row by row.
func TestVerdicts(t *testing.T) {
	v1 := circumstances{proto: protocolV1, samples: 10, confirmed: true}
	v2 := circumstances{proto: protocolV2, samples: 10, auto: true}
	known := circumstances{proto: protocolV2, samples: 10, auto: true, confirmed: true}
	pinned := circumstances{proto: protocolV2, samples: 10}
	vm := circumstances{proto: protocolVM, samples: 10}
	strict := func(c circumstances) circumstances { c.strict = true; return c }
	unsure := func(c circumstances) circumstances { c.unsure = true; return c }
	for _, row := range []struct {
		status  int
		written int
		c       circumstances
		kind    verdictKind
		samples int           // written
		longest time.Duration // of a retry
	}{
		{200, -1, v1, accepted, 10, 0}, {204, -1, v1, accepted, 10, 0}, {204, -1, unsure(v1), accepted, 10, 0},
		{204, 10, v2, accepted, 10, 0}, {204, 7, v2, accepted, 7, 0}, {204, 99, v2, accepted, 10, 0}, {200, 0, known, accepted, 0, 0},
		{204, -1, v2, fallBack, 0, 0}, {204, -1, known, doubted, 0, 0}, {204, -1, pinned, doubted, 0, 0},
		{0, -1, v1, retry, 0, backoffNet}, {0, -1, strict(v1), retry, 0, backoffNet},
		{408, -1, v1, retry, 0, backoffBusy}, {429, -1, v1, retry, 0, backoffBusy}, {500, -1, v1, retry, 0, backoffBusy},
		{503, -1, v2, retry, 0, backoffBusy}, {599, -1, v1, retry, 0, backoffBusy}, {500, 4, v2, retry, 0, backoffBusy},
		{429, -1, strict(v1), retry, 0, backoffBusy}, {500, -1, strict(v1), retry, 0, backoffBusy},
		{400, 7, v2, accepted, 7, 0}, {409, 7, v2, accepted, 7, 0}, {422, 0, known, accepted, 0, 0}, {400, 7, pinned, accepted, 7, 0},
		{400, 7, unsure(v2), uncertain, 7, 0}, {204, 7, unsure(v2), uncertain, 7, 0}, {204, 10, unsure(v2), accepted, 10, 0},
		{400, -1, v1, divide, 0, 0}, {409, -1, v1, divide, 0, 0}, {422, -1, v1, divide, 0, 0},
		{400, -1, unsure(v1), uncertain, 0, 0}, {422, -1, unsure(v1), uncertain, 0, 0},
		{400, -1, strict(v1), dropped, 0, 0}, {413, -1, strict(v1), dropped, 0, 0}, {404, -1, strict(v1), dropped, 0, 0},
		{400, -1, unsure(strict(v1)), uncertain, 0, 0}, {400, 3, strict(v2), accepted, 3, 0},
		{413, -1, v1, smaller, 0, 0}, {413, -1, known, smaller, 0, 0},
		{415, -1, v2, fallBack, 0, 0}, {415, -1, known, fallBack, 0, 0}, {415, -1, vm, fallBack, 0, 0}, {400, -1, vm, fallBack, 0, 0},
		{415, -1, v1, retry, 0, backoffWrong}, {415, -1, pinned, retry, 0, backoffWrong},
		{400, -1, v2, fallBack, 0, 0}, {400, -1, known, tryV1, 0, 0}, {400, -1, pinned, divide, 0, 0},
		{409, -1, v2, divide, 0, 0}, {400, -1, strict(known), dropped, 0, 0}, {415, -1, strict(v2), fallBack, 0, 0},
		{401, -1, v1, retry, 0, backoffWrong}, {403, -1, known, retry, 0, backoffWrong}, {404, -1, v2, retry, 0, backoffWrong},
		{407, -1, v1, retry, 0, backoffWrong}, {405, -1, v1, retry, 0, backoffWrong}, {451, -1, v1, retry, 0, backoffWrong},
		{301, -1, v1, retry, 0, backoffWrong}, {307, -1, v1, retry, 0, backoffWrong}, {304, -1, v2, retry, 0, backoffWrong},
	} {
		v := judge(answer{status: row.status, written: row.written, text: "words"}, row.c)
		if v.kind != row.kind || v.written != row.samples || v.longest != row.longest {
			t.Errorf("%d, %d written, to %+v: got %+v", row.status, row.written, row.c, v)
		}
	}
}

// TestAnswersThatAreRetried sends one batch to a receiver that first answers in some way, and then well.
func TestAnswersThatAreRetried(t *testing.T) {
	for _, status := range []int{408, 429, 500, 502, 503, 504} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			f, url := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
				if n.Add(1) == 1 {
					http.Error(w, "busy", status)
					return
				}
				ok(w, r, x)
			})
			s := newSetup(t, config(url))
			s.source.fill(series(10), 2, time.Now(), time.Second)
			start := time.Now()
			s.run(t, s.drained)
			check(t, "outcome", outcome(s.source.outcome()), "delivered 20 refused 0 uncertain 0 dropped map[]")
			got := f.requests()
			if len(got) != 2 || !bytes.Equal(got[0].packed, got[1].packed) {
				t.Errorf("%d requests; want the same one twice", len(got))
			}
			if d := time.Since(start); d < 900*time.Millisecond {
				t.Errorf("tried again after %v", d)
			}
			if text := s.log.String(); !strings.Contains(text, "busy") || !strings.Contains(text, "works again") {
				t.Errorf("log:\n%s", text)
			}
		})
	}
}

func TestEnvelopeTroublePausesAndKeeps(t *testing.T) {
	for _, status := range []int{301, 302, 303, 401, 403, 404, 405, 407, 451} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			f, url := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
				if r.Method != http.MethodPost {
					t.Errorf("a %s request", r.Method)
				}
				w.Header().Set("Location", "/elsewhere/0123456789abcdef01234?token=hidden")
				http.Error(w, "who are you", status)
			})
			s := newSetup(t, config(url))
			s.source.fill(series(10), 2, time.Now(), time.Second)
			s.run(t, func() bool { return s.sender.Status().LastStatus == status })
			check(t, "requests", len(f.requests()), 1)
			check(t, "outcome", outcome(s.source.outcome()), "delivered 0 refused 0 uncertain 0 dropped map[]")
			if w := s.sender.backoff.left(); w < backoffBusy*8/10 {
				t.Errorf("waits for %v only", w)
			}
			st := s.sender.Status()
			if s.drained() || !strings.Contains(st.Trouble, "who are you") || strings.Contains(st.Trouble, "/elsewhere/<secret>, which") != (status/100 == 3) ||
				strings.Contains(st.Trouble, "hidden") {
				t.Errorf("status %+v", st)
			}
		})
	}
}

func TestRedirectsAreFollowedWithTheBody(t *testing.T) {
	for _, status := range []int{307, 308} {
		f, url := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
			if r.URL.Path != "/new" {
				http.Redirect(w, r, "/new", status)
				return
			}
			ok(w, r, x)
		})
		s := newSetup(t, config(url))
		s.source.fill(series(10), 2, time.Now(), time.Second)
		s.run(t, s.drained)
		check(t, "outcome", outcome(s.source.outcome()), "delivered 20 refused 0 uncertain 0 dropped map[]")
		check(t, "requests", len(f.requests()), 2)
	}
}

func TestRedirectToAnotherHostGetsNoHeadersOfOurs(t *testing.T) {
	_, elsewhere := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
		if got := r.Header.Get("X-Api-Key"); got != "" {
			t.Errorf("the other host got %q", got)
		}
		ok(w, r, x)
	})
	_, url := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
		check(t, "key at the first host", r.Header.Get("X-Api-Key"), "sesame-open")
		http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
	})
	s := newSetup(t, config(url, func(c *Config) { c.Headers = map[string]string{"X-Api-Key": "sesame-open"} }))
	s.source.fill(series(10), 2, time.Now(), time.Second)
	s.run(t, s.drained)
	check(t, "outcome", outcome(s.source.outcome()), "delivered 20 refused 0 uncertain 0 dropped map[]")
}

func TestReceiverWithALimitOfSize(t *testing.T) {
	const limit = 20_000
	f, url := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
		if len(x.packed) > limit {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		ok(w, r, x)
	})
	s := newSetup(t, config(url))
	refs := series(2000)
	s.source.fill(refs, 10, time.Now(), time.Second)
	s.run(t, s.drained)
	refused, largest := 0, 0
	for _, x := range f.requests() {
		if len(x.packed) > limit {
			refused++
		} else {
			largest = max(largest, len(x.packed))
		}
	}
	check(t, "outcome", outcome(s.source.outcome()), "delivered 20000 refused 0 uncertain 0 dropped map[]")
	if refused > 8 || largest < limit/4 {
		t.Errorf("%d bodies were too large, the largest other one had %d bytes", refused, largest)
	}
	before := len(f.requests())
	s.again(t)
	s.source.fill(refs, 10, time.Now().Add(time.Hour), time.Second)
	s.run(t, s.drained)
	for _, x := range f.requests()[before:] {
		if len(x.packed) > limit {
			t.Error("the size was forgotten over a restart")
		}
	}
}

func TestReceiverThatNeverAnswers(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	f, url := serve(t, func(http.ResponseWriter, *http.Request, received) { <-stop })
	s := newSetup(t, config(url, func(c *Config) { c.RemoteTimeout = model.Duration(50 * time.Millisecond) }))
	s.source.fill(series(10), 2, time.Now(), time.Second)
	s.run(t, func() bool { return len(f.requests()) >= 2 })
	got := f.requests()
	if !bytes.Equal(got[0].packed, got[1].packed) {
		t.Error("a request whose answer is unknown was changed")
	}
	if s.source.fails[0] != true {
		t.Error("the source was not told that the answer is lost")
	}
	check(t, "class", s.sender.report.class, "timeout")
}

// A line so thin that a body does not get through in time must carry smaller ones.
func TestThinLine(t *testing.T) {
	db := &tsdb{}
	f := &fake{t: t, answer: db.answer}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		for { // at most 150 kB/s
			n, err := io.CopyN(&body, r.Body, 1500)
			if n > 0 {
				time.Sleep(10 * time.Millisecond)
			}
			if err == io.EOF {
				break
			} else if err != nil {
				return
			}
		}
		r.Body = io.NopCloser(&body)
		f.ServeHTTP(w, r)
	})}
	go server.Serve(smallBuffers{l})
	defer server.Close()
	s := newSetup(t, config("http://"+l.Addr().String(), func(c *Config) { c.RemoteTimeout = model.Duration(time.Second) }))
	refs := series(2000)
	for i := range 10 { // values that do not compress
		values := make([]float64, len(refs))
		for k := range values {
			values[k] = 1 / float64(1+i*7919+k*104729)
		}
		s.source.append(roundOf(refs, values, time.Now().Add(time.Duration(i)*time.Second)))
	}
	s.run(t, s.drained)
	if o := s.source.outcome(); o.Delivered+o.Uncertain != 20_000 {
		t.Errorf("got %s", outcome(o))
	}
	check(t, "stored", db.stored, 20_000)
	if n := s.sender.receiver.bodyLimit(); n >= maxPacked {
		t.Error("the requests were not cut")
	}
}

// smallBuffers makes the kernel hold little of what is sent.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		c.(*net.TCPConn).SetReadBuffer(4096)
	}
	return c, err
}

func TestEndlessAndStrangeBodies(t *testing.T) {
	packed := func(text []byte) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(text)
		z.Close()
		return b.Bytes()
	}
	bomb := packed(make([]byte, 100<<20))
	endless := func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte("x"), 1<<16)
		for range 1 << 14 { // a gigabyte
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		t.Error("a gigabyte was read")
	}
	for name, c := range map[string]struct {
		status int
		write  func(w http.ResponseWriter, r *http.Request)
		text   string // part of the log
	}{
		"gigabyte of error":      {403, endless, "HTTP 403: xxxxx"},
		"gigabyte of acceptance": {200, endless, ""},
		"gzip": {403, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(403)
			w.Write(packed([]byte("no such tenant")))
		}, "no such tenant"},
		"gzip bomb": {403, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(403)
			w.Write(bomb)
		}, "HTTP 403"},
		"gzip that is none": {403, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(403)
			w.Write([]byte("plain"))
		}, "HTTP 403"},
		"binary": {403, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			w.Write([]byte("a\x00\x1b[31m\xff\xfeb"))
		}, "HTTP 403: a  [31m  b"},
		"body that does not end": {200, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, ""},
		"error that does not end": {403, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(403)
			w.Write([]byte("slow"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "HTTP 403: slow"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, url := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
				if c.status == 200 {
					w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(x.n))
				} else if strings.HasPrefix(name, "gigabyte") {
					w.WriteHeader(c.status)
				}
				c.write(w, r)
			})
			s := newSetup(t, config(url))
			s.source.fill(series(10), 2, time.Now(), time.Second)
			// What is waited for comes much sooner than remote_timeout would end it.
			s.run(t, func() bool { return s.sender.Status().LastStatus == c.status && (c.status != 200 || s.drained()) })
			if text := s.log.String(); c.text != "" && !strings.Contains(text, c.text) || len(text) > 2000 {
				t.Errorf("log of %d bytes: %.1500s", len(text), text)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-3": 0, "599": 599 * time.Second,
		"600": retryAfterMax, "601": retryAfterMax, "9223372036854775807": retryAfterMax, "99999999999999999999999": retryAfterMax,
		"-99999999999999999999999": 0, "1.5": 0, "soon": 0,
		"Sat, 01 Aug 2026 12:00:30 GMT": 30 * time.Second, "Sat, 01 Aug 2026 11:00:00 GMT": 0,
		"Fri, 01 Jan 9999 00:00:00 GMT": retryAfterMax, "Saturday, 01-Aug-26 12:00:30 GMT": 30 * time.Second,
	} {
		check(t, fmt.Sprintf("%q", text), parseRetryAfter(text, now), want)
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("7", "12", "Sat, 01 Aug 2026 12:00:30 GMT")
	f.Add("99999999999999999999", "-1", "")
	f.Fuzz(func(t *testing.T, after, written, date string) {
		if d := parseRetryAfter(after, time.Unix(1_785_000_000, 0)); d < 0 || d > retryAfterMax {
			t.Errorf("Retry-After %q: %v", after, d)
		}
		h := http.Header{"Retry-After": {after}, "Date": {date}, "X-Prometheus-Remote-Write-Samples-Written": {written}}
		if n := writtenSamples(h); n < -1 {
			t.Errorf("%q written: %d", written, n)
		}
		a := answer{written: -1, started: time.Now()}
		a.read(&http.Response{StatusCode: 400, Header: h, Body: io.NopCloser(strings.NewReader(after))}, func() {}, newRedactor(DefaultConfig()), time.Now())
		c := circumstances{proto: protocolV2, samples: 10}
		if v := judge(a, c); v.written < 0 || v.written > 10 {
			t.Errorf("%d of 10 samples written", v.written)
		}
		b := backoff{random: rand.Float64}
		b.fail(time.Now(), backoffBusy, a.retryAfter)
		if d := b.left(); d <= 0 || d > retryAfterMax*11/10 {
			t.Errorf("waits for %v", d)
		}
	})
}
