package push

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

const loginPage = "\n<!DOCTYPE html><html><head><title>Hotel  Bellevue - log in</title></head><body>...</body></html>"

// strangers answer 2xx to whatever comes.
var strangers = map[string]func(w http.ResponseWriter){
	"content type": func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html; charset=utf-8") },
	"page": func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write([]byte(loginPage))
	},
	"202 and page": func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted); w.Write([]byte(loginPage)) },
	"page behind a mark": func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write([]byte("\ufeff\r\n <?xml version='1.0'?><HTML>"))
	},
}

// variants are the ways in which a destination is configured, by name.
var variants = map[string]func(*Config){
	"auto": func(*Config) {}, "1.0": v1Only, "2.0": v2Only,
	"zstd":       func(c *Config) { c.Compression = CompressionZstd },
	"drop":       func(c *Config) { c.OnRefusal = RefusalDrop },
	"live_first": func(c *Config) { c.Order = OrderLiveFirst },
}

// life is a receiver that something stands before for a while, in simulated time, and what came of it.
type life struct {
	*setup
	mu          sync.Mutex
	db          tsdb
	before      func(w http.ResponseWriter, r *http.Request, x received) bool // answers, or leaves it to db
	undecodable int
	requests    int // but for those without samples
	asides      int
}

func (l *life) answer(w http.ResponseWriter, r *http.Request, x received) {
	l.mu.Lock()
	if x.aside() {
		l.asides++
	} else {
		l.requests++
	}
	if x.undecodable {
		l.undecodable++
	}
	before := l.before
	l.mu.Unlock()
	switch {
	case before != nil && before(w, r, x):
	case x.undecodable:
		http.Error(w, "snappy: corrupt input", http.StatusBadRequest)
	default:
		l.db.answer(w, r, x)
	}
}

func (l *life) stand(before func(w http.ResponseWriter, r *http.Request, x received) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = before
}

func newLife(t *testing.T, change ...func(*Config)) *life {
	l := &life{setup: newSetup(t, config("http://x", change...))}
	if l.cfg.Order == OrderLiveFirst {
		l.db.window, l.source.lanes = true, true
	}
	l.through(t, l.answer)
	return l
}

// rounds appends so many, one each ten seconds.
func (l *life) rounds(n int) {
	refs := series(10)
	for range n {
		l.source.fill(refs, 1, time.Now(), time.Second)
		time.Sleep(10 * time.Second)
	}
}

func TestAPortalSwallowsNothing(t *testing.T) {
	for name, page := range strangers {
		for variant, change := range variants {
			t.Run(name+"/"+variant, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLife(t, change)
					portal := func(w http.ResponseWriter, _ *http.Request, _ received) bool { page(w); return true }
					l.stand(portal)
					stop := l.start()
					l.rounds(10) // before the receiver was ever seen
					l.stand(nil)
					time.Sleep(backoffWrong * 11 / 10)
					check(t, "at first", outcome(l.source.outcome()), "delivered 100 refused 0 uncertain 0 dropped map[]")
					l.rounds(3)
					l.stand(portal)
					before := l.requests
					l.rounds(60)
					if n := l.requests - before; n > 8*len(l.sender.lanes) {
						t.Errorf("%d requests in ten minutes", n)
					}
					st := l.sender.Status()
					if !strings.Contains(st.Trouble, "with a web page") || strings.Contains(name, "page") && !strings.Contains(name, "mark") && !strings.Contains(st.Trouble, `"Hotel Bellevue - log in"`) {
						t.Errorf("trouble %q", st.Trouble)
					}
					l.stand(nil)
					time.Sleep(backoffWrong * 11 / 10)
					check(t, "in the end", outcome(l.source.outcome()), "delivered 730 refused 0 uncertain 0 dropped map[]")
					check(t, "stored", l.db.stored, 730)
					check(t, "undecodable", l.undecodable, 0)
					if n := strings.Count(l.log.String(), "something else answers in the receiver's place"); n != 2 {
						t.Errorf("said %d times:\n%s", n, l.log)
					}
					stop()
				})
			})
		}
	}
}

// A receiver that knows 2.0 is not believed to have become an older one only because something says so once, and takes all after that.
func TestAPortalThatDoesNotKnow20(t *testing.T) {
	for name, first := range map[string]func(w http.ResponseWriter){
		"415": func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnsupportedMediaType) },
		"400": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			w.Write([]byte(loginPage))
		},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " restart ", restart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLife(t)
					stop := l.start()
					l.rounds(6)
					if restart { // a day later nobody knows what the receiver knew
						stop()
						time.Sleep(25 * time.Hour)
						l.again(t)
						l.through(t, l.answer)
						stop = l.start()
					}
					said := false
					l.stand(func(w http.ResponseWriter, _ *http.Request, _ received) bool {
						if !said {
							said = true
							first(w)
						}
						return true
					})
					l.rounds(60)
					l.stand(nil)
					time.Sleep(backoffWrong * 11 / 10)
					stop()
					check(t, "outcome", outcome(l.source.outcome()), "delivered 660 refused 0 uncertain 0 dropped map[]")
					if l.db.stored != 660 {
						t.Errorf("the receiver has %d samples", l.db.stored)
					}
				})
			})
		}
	}
}

// The same where an older version has taken the receiver's place indeed: it gets everything, and is asked once or twice who it is.
func TestAReceiverThatIsDowngraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		stop := l.start()
		l.rounds(6)
		l.stand(func(w http.ResponseWriter, _ *http.Request, x received) bool {
			if x.v2 {
				w.WriteHeader(http.StatusUnsupportedMediaType)
			}
			return x.v2
		})
		l.rounds(60)
		time.Sleep(time.Minute)
		check(t, "outcome", outcome(l.source.outcome()), "delivered 660 refused 0 uncertain 0 dropped map[]")
		check(t, "asked who it is", l.undecodable, 1)
		check(t, "trouble", l.sender.Status().Trouble, "")
		stop()
	})
}

// A receiver of 1.0 that says something with its 2xx is told from a portal that says something else with the same.
func TestAPortalWithOtherWordsThanTheReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, v1Only)
		say := func(text string) func(w http.ResponseWriter, _ *http.Request, x received) bool {
			return func(w http.ResponseWriter, r *http.Request, x received) bool {
				w.Header().Set("Content-Type", "text/plain")
				fmt.Fprintf(w, text, x.n)
				return true
			}
		}
		receiver := func(w http.ResponseWriter, r *http.Request, x received) bool {
			if x.undecodable {
				return false
			}
			l.mu.Lock()
			l.db.stored += x.n
			l.mu.Unlock()
			return say("took %d samples")(w, r, x)
		}
		l.stand(receiver)
		stop := l.start()
		l.rounds(6)
		time.Sleep(time.Minute)
		check(t, "at first", outcome(l.source.outcome()), "delivered 60 refused 0 uncertain 0 dropped map[]")
		asked := l.undecodable
		l.stand(say("offline, with %d minutes left"))
		l.rounds(60)
		l.stand(receiver)
		time.Sleep(backoffWrong * 11 / 10)
		stop()
		check(t, "in the end", outcome(l.source.outcome()), "delivered 660 refused 0 uncertain 0 dropped map[]")
		if n := l.db.stored; n < 660 || n > 670 { // the first batch comes twice: its answer has to be the same again
			t.Errorf("the receiver took %d samples", n)
		}
		if l.undecodable-asked > 8 {
			t.Errorf("asked %d times more who answers", l.undecodable-asked)
		}
	})
}

// A page that a redirect leads to, which is followed, is the same.
func TestAPortalBehindARedirect(t *testing.T) {
	for _, status := range []int{307, 308} {
		for variant, change := range variants {
			t.Run(fmt.Sprint(status, "/", variant), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLife(t, change)
					l.stand(func(w http.ResponseWriter, r *http.Request, _ received) bool {
						if r.URL.Path == "/login" {
							w.Write([]byte(loginPage))
						} else {
							http.Redirect(w, r, "/login", status)
						}
						return true
					})
					stop := l.start()
					l.rounds(10)
					l.stand(nil)
					time.Sleep(backoffWrong * 11 / 10)
					stop()
					check(t, "outcome", outcome(l.source.outcome()), "delivered 100 refused 0 uncertain 0 dropped map[]")
				})
			})
		}
	}
}

// HTML changes no other status: these bodies are what nginx sends.
func TestPagesOfErrorsChangeNothing(t *testing.T) {
	for _, status := range []int{400, 403, 413, 429, 502} {
		plain, page := answer{status: status, written: -1, text: "x"}, answer{status: status, written: -1, text: loginPage, page: true}
		c := circumstances{proto: protocolV1, samples: 10}
		a, b := judge(plain, c), judge(page, c)
		if a.kind != b.kind || a.longest != b.longest || b.stranger {
			t.Errorf("%d: %+v, with a page %+v", status, a, b)
		}
	}
}

// silent is 200 without a word of what was written.
func silent(w http.ResponseWriter, _ *http.Request, _ received) bool { w.WriteHeader(200); return true }

// A receiver that knew 2.0 is replaced by one that says 2xx to it and stores nothing.
func TestSilenceOfADowngradedReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		stop := l.start()
		l.rounds(3)
		l.stand(func(w http.ResponseWriter, r *http.Request, x received) bool { return x.v2 && silent(w, r, x) })
		begin := time.Now()
		l.rounds(50)
		if l.undecodable > 0 || l.db.stored > 30 {
			t.Errorf("after %v already: %d undecodable bodies, %d stored", time.Since(begin), l.undecodable, l.db.stored)
		}
		l.rounds(30)
		stop()
		check(t, "protocol", l.sender.Status().Protocol, "1.0")
		check(t, "confirmed", l.sender.Status().Confirmed, true)
		check(t, "undecodable", l.undecodable, 1)
		check(t, "outcome", outcome(l.source.outcome()), "delivered 830 refused 0 uncertain 0 dropped map[]")
		check(t, "stored", l.db.stored, 830)
		if text := l.log.String(); !strings.Contains(text, "it is not clear that the receiver answers") || !strings.Contains(text, "going on with 1.0") {
			t.Error(text)
		}
	})
}

// A proxy that comes to stand before a receiver of 2.0 and strips its headers: everything is stored, and sent again for a while.
func TestSilenceOfAProxyThatStripsHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		stop := l.start()
		l.rounds(3)
		l.stand(func(w http.ResponseWriter, r *http.Request, x received) bool {
			if !x.v2 {
				return false
			}
			inner := stripped{w}
			l.db.answer(inner, r, x)
			return true
		})
		l.rounds(80)
		stop()
		o := l.source.outcome()
		if o.Refused > 0 || o.Delivered+o.Uncertain != 830 {
			t.Errorf("got %s", outcome(o))
		}
		check(t, "stored", l.db.stored, 830)
		check(t, "undecodable", l.undecodable, 1)
		check(t, "protocol", l.sender.Status().Protocol, "1.0")
		if n := l.sender.stats.risked; n == 0 || n > 200 {
			t.Errorf("%d samples risked to be repeated", n)
		}
	})
}

// stripped is a ResponseWriter that forgets the headers of remote write.
type stripped struct{ http.ResponseWriter }

func (s stripped) WriteHeader(status int) {
	for name := range s.Header() {
		if strings.HasPrefix(name, "X-Prometheus") {
			s.Header().Del(name)
		}
	}
	s.ResponseWriter.WriteHeader(status)
}

// A portal that speaks in plain text says 200 to what nobody can read.
func TestAPortalInPlainText(t *testing.T) {
	welcome := func(w http.ResponseWriter, _ *http.Request, _ received) bool {
		w.Write([]byte("Welcome to the train. Please open a browser."))
		return true
	}
	for variant, change := range variants {
		for _, early := range []bool{false, true} {
			t.Run(fmt.Sprint(variant, "/", early), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLife(t, change)
					if early { // it is what answers first
						l.stand(welcome)
					}
					stop := l.start()
					l.rounds(3)
					l.stand(welcome)
					l.rounds(360)
					text := l.log.String()
					if variant != "2.0" && strings.Count(text, "something else answers in the receiver's place") != 1 || strings.Contains(text, "knows\" protocol=1.0") && early {
						t.Errorf("log:\n%s", text)
					}
					if l.requests > 3+80*len(l.sender.lanes) {
						t.Errorf("%d requests in an hour", l.requests)
					}
					l.stand(nil)
					time.Sleep(backoffWrong * 11 / 10)
					stop()
					check(t, "outcome", outcome(l.source.outcome()), "delivered 3630 refused 0 uncertain 0 dropped map[]")
					check(t, "stored", l.db.stored, 3630)
					if want := map[string]string{"1.0": "1.0", "zstd": "1.0 zstd"}[variant]; want == "" {
						check(t, "protocol", l.sender.Status().Protocol, "2.0")
					} else {
						check(t, "protocol", l.sender.Status().Protocol, want)
					}
				})
			})
		}
	}
}

// Where 2.0 is demanded there is nothing to fall back to.
func TestSilenceWherePinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, v2Only)
		l.stand(silent)
		stop := l.start()
		l.rounds(180)
		check(t, "delivered", l.source.outcome().Delivered, 0)
		check(t, "undecodable", l.undecodable, 0)
		if text := l.log.String(); !strings.Contains(text, "set protobuf_message to auto") {
			t.Error(text)
		}
		l.stand(nil)
		time.Sleep(backoffWrong * 11 / 10)
		stop()
		check(t, "delivered", l.source.outcome().Delivered, 1800)
	})
}

// Receivers of 1.0 that say something after all are asked once whether they read bodies; those that say nothing never.
func TestReceiversThatSaySomething(t *testing.T) {
	for words, asked := range map[string]int{"": 0, "OK": 1, `{"status":"success"}`: 1} {
		for _, status := range []int{200, 202} {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t, v1Only)
				l.stand(func(w http.ResponseWriter, r *http.Request, x received) bool {
					if x.undecodable {
						return false
					}
					l.db.answer(discarding{w}, r, x)
					w.WriteHeader(status)
					fmt.Fprint(w, words)
					return true
				})
				stop := l.start()
				l.rounds(50)
				stop()
				check(t, "outcome", outcome(l.source.outcome()), "delivered 500 refused 0 uncertain 0 dropped map[]")
				check(t, "undecodable", l.undecodable, asked)
			})
		}
	}
}

// discarding leaves the status to somebody else.
type discarding struct{ http.ResponseWriter }

func (discarding) WriteHeader(int) {}

// A 2xx whose meaning was open is not the end: what is refused afterwards may be what was stored.
func TestRefusalAfterSilenceIsUncertain(t *testing.T) {
	for name, poisoned := range map[string]bool{"stored": false, "poisoned": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t)
				begin := time.Now()
				if poisoned { // a receiver of 1.0 that says 2xx to 2.0
					l.db.bad = func(_ string, ms int64, v float64) bool { return v == 7 && ms == begin.UnixMilli() }
				}
				l.stand(func(w http.ResponseWriter, r *http.Request, x received) bool {
					if !x.v2 || x.undecodable {
						return false
					}
					if poisoned {
						return silent(w, r, x)
					}
					l.db.answer(stripped{w}, r, x)
					return true
				})
				l.source.fill(series(100), 5, begin, time.Second)
				stop := l.start()
				time.Sleep(time.Minute)
				stop()
				o := l.source.outcome()
				if poisoned {
					check(t, "outcome", outcome(o), "delivered 499 refused 0 uncertain 1 dropped map[]")
					return
				}
				if o.Refused > 0 || o.Delivered+o.Uncertain != 500 || l.db.stored != 500 {
					t.Errorf("%s, stored %d", outcome(o), l.db.stored)
				}
			})
		})
	}
}

// Nobody can read it, whatever is tried.
func TestUndecodable(t *testing.T) {
	body := []byte(undecodable)
	if _, err := snappy.Decode(nil, body); err == nil {
		t.Error("snappy")
	}
	if _, err := s2.Decode(nil, body); err == nil {
		t.Error("S2")
	}
	z, _ := zstd.NewReader(nil)
	defer z.Close()
	if _, err := z.DecodeAll(body, nil); err == nil {
		t.Error("zstd")
	}
	if new(prompb.WriteRequest).Unmarshal(body) == nil || new(writev2.Request).Unmarshal(body) == nil {
		t.Error("protobuf")
	}
	if bytes.HasPrefix(body, []byte("\x1f\x8b")) || IsPage("", body) {
		t.Error("gzip or a page")
	}
}

func TestPages(t *testing.T) {
	for _, row := range []struct {
		contentType, body string
		page              bool
	}{
		{"text/html", "", true}, {"TEXT/HTML;charset=x", "{}", true}, {"application/xhtml+xml", "", true}, {"", "<!doctype HTML>", true},
		{"text/plain", " \t<html>", true}, {"text/plain", "<script>location='x'</script>", true}, {"text/xml", "<?xml?><html xmlns='x'>", true},
		{"", "", false}, {"text/plain", "OK", false}, {"application/json", `{"html": "<html>"}`, false}, {"text/xml", "<ok/>", false},
		{"text/plain", "nothing of <html>", false}, {"nonsense;;;", "OK", false},
	} {
		check(t, row.contentType+" "+row.body, IsPage(row.contentType, []byte(row.body)), row.page)
	}
	for page, want := range map[string]string{loginPage: "Hotel Bellevue - log in", "<title>": "", "<title": "", "<TITLE lang=x>A &amp; B</TITLE>": "A &amp; B", "": ""} {
		check(t, page, title(page), want)
	}
}
