package push

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// oldReceivers are ways in which receivers of 1.0 answer to 2.0. Where they say 2xx, portal_test.go has what happens later on.
var oldReceivers = map[string]func(http.ResponseWriter){
	"415":          func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnsupportedMediaType) },
	"400":          func(w http.ResponseWriter) { http.Error(w, "proto: wrong wireType", http.StatusBadRequest) },
	"silence":      func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
	"200, nothing": func(w http.ResponseWriter) {},
}

func TestAutoFallsBackAndRemembers(t *testing.T) {
	for name, answer := range oldReceivers {
		t.Run(name, func(t *testing.T) {
			f, url := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
				if x.v2 {
					answer(w)
					return
				}
				ok(w, r, x)
			})
			s := newSetup(t, config(url))
			s.deliver(t)
			s.deliver(t)
			s.again(t) // the note tells the next process
			s.deliver(t)
			asked := 0
			for _, x := range f.requests() {
				if x.v2 {
					asked++
				}
			}
			check(t, "requests in 2.0", asked, 1)
			check(t, "requests", len(f.requests()), 4)
			check(t, "protocol", s.sender.Status().Protocol, "1.0")
			check(t, "outcome", outcome(s.source.outcome()), "delivered 60 refused 0 uncertain 0 dropped map[]")
		})
	}
}

func TestAutoNoticesAnUpgradeWithinADay(t *testing.T) {
	var knows atomic.Bool
	_, url := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
		if x.v2 && !knows.Load() {
			w.WriteHeader(http.StatusUnsupportedMediaType)
			return
		}
		ok(w, r, x)
	})
	s := newSetup(t, config(url))
	s.deliver(t)
	knows.Store(true)
	s.deliver(t)
	check(t, "protocol before a day is over", s.sender.Status().Protocol, "1.0")
	s.sender.receiver.asked = s.sender.receiver.asked.Add(-askAgain)
	s.source.note = s.sender.receiver.note()
	s.deliver(t)
	check(t, "protocol after a day", s.sender.Status().Protocol, "2.0")
	check(t, "note", strings.HasPrefix(s.source.Note(), "2.0 "), true)
}

func TestAutoSurvivesADowngrade(t *testing.T) {
	for _, name := range []string{"415", "400"} {
		answer := oldReceivers[name]
		t.Run(name, func(t *testing.T) {
			var old atomic.Bool
			_, url := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
				switch {
				case x.undecodable:
					w.WriteHeader(http.StatusBadRequest)
				case x.v2 && old.Load():
					answer(w)
				default:
					ok(w, r, x)
				}
			})
			s := newSetup(t, config(url))
			s.deliver(t)
			check(t, "protocol", s.sender.Status().Protocol, "2.0")
			old.Store(true)
			s.deliver(t)
			check(t, "protocol", s.sender.Status().Protocol, "1.0")
			check(t, "outcome", outcome(s.source.outcome()), "delivered 40 refused 0 uncertain 0 dropped map[]")
		})
	}
}

// A receiver that took 1.0 is replaced by one that takes only 2.0: that is found within minutes, not within a day.
func TestAutoFindsAReceiverThatTakesOnly2(t *testing.T) {
	var current atomic.Bool
	_, url := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
		if x.v2 != current.Load() {
			w.WriteHeader(http.StatusUnsupportedMediaType)
			return
		}
		ok(w, r, x)
	})
	s := newSetup(t, config(url))
	s.deliver(t)
	check(t, "protocol", s.sender.Status().Protocol, "1.0")
	current.Store(true)
	s.sender.receiver.asked = s.sender.receiver.asked.Add(-backoffWrong)
	s.source.note = s.sender.receiver.note()
	s.deliver(t)
	check(t, "protocol", s.sender.Status().Protocol, "2.0")
	check(t, "outcome", outcome(s.source.outcome()), "delivered 40 refused 0 uncertain 0 dropped map[]")
}

func TestPinnedProtocolsStay(t *testing.T) {
	for _, change := range []func(*Config){v1Only, v2Only} {
		f, url := serve(t, ok)
		s := newSetup(t, config(url, change))
		s.source.note = "1.0 " + strconv.FormatInt(time.Now().Unix(), 10) + " 0"
		s.deliver(t)
		check(t, "2.0", f.requests()[0].v2, s.cfg.ProtobufMessage == MessageV2)
		check(t, "requests", len(f.requests()), 1)
	}
}

func TestZstdOfVictoriaMetrics(t *testing.T) {
	f, url := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
		if x.header.Get("Content-Encoding") == "zstd" {
			check(t, "version", x.header.Get("X-VictoriaMetrics-Remote-Write-Version"), "1")
		}
		ok(w, r, x)
	})
	s := newSetup(t, config(url, func(c *Config) { c.Compression = CompressionZstd }))
	s.deliver(t)
	check(t, "requests", len(f.requests()), 1)
	check(t, "encoding", f.requests()[0].header.Get("Content-Encoding"), "zstd")

	f, url = serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
		if x.header.Get("Content-Encoding") == "zstd" {
			http.Error(w, "cannot decode snappy", http.StatusBadRequest)
			return
		}
		ok(w, r, x)
	})
	s = newSetup(t, config(url, func(c *Config) { c.Compression = CompressionZstd }))
	s.deliver(t)
	s.deliver(t)
	check(t, "requests", len(f.requests()), 3)
	check(t, "protocol", s.sender.Status().Protocol, "1.0")
}

func FuzzNote(f *testing.F) {
	now := time.Unix(1_790_000_000, 0)
	f.Add("1.0 1789999999 450000")
	f.Add("2.0 -1 -1")
	f.Fuzz(func(t *testing.T, note string) {
		n := newNegotiation(DefaultConfig())
		if size := n.recall(note, now); size < 0 {
			t.Errorf("%q: size %d", note, size)
		}
		if n.asked.After(now) || len(n.note(1<<62)) > 64 {
			t.Errorf("%q: asked %v, note %q", note, n.asked, n.note(1<<62))
		}
	})
}
