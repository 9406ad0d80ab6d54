package push

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// choosy is a receiver that takes some forms only, and otherwise answers as it does.
type choosy struct {
	two, one, zstd bool
	refusal        int  // to what it does not take
	pretends       bool // it says yes to an empty request by zstd, and then no
}

func (c *choosy) front(w http.ResponseWriter, _ *http.Request, x received) bool {
	zstd := x.header.Get("Content-Encoding") == "zstd"
	switch {
	case x.undecodable:
		return false
	case c.pretends && x.asksForZstd(), x.v2 && c.two, !x.v2 && zstd && c.zstd, !x.v2 && !zstd && c.one:
		if x.aside() {
			w.WriteHeader(http.StatusNoContent)
			return true
		}
		return false
	}
	http.Error(w, "no", c.refusal)
	return true
}

// Whatever a receiver takes is found without configuration, and nothing is lost or repeated on the way.
func TestCompressionIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		choosy
		protocol string
		asked    int // for zstd, within three hours
		repeated int // requests, at most, beyond those that carry something new
	}{
		"only 2.0":                        {choosy{two: true, refusal: 415}, "2.0", 0, 0},
		"only 1.0":                        {choosy{one: true, refusal: 415}, "1.0", 1, 1},
		"only 1.0, says 400":              {choosy{one: true, refusal: 400}, "1.0", 1, 1},
		"zstd":                            {choosy{one: true, zstd: true, refusal: 415}, "1.0 zstd", 1, 1},
		"zstd, says 400":                  {choosy{one: true, zstd: true, refusal: 400}, "1.0 zstd", 1, 1},
		"2.0 and zstd":                    {choosy{two: true, one: true, zstd: true}, "2.0", 0, 0},
		"says yes, then 415":              {choosy{one: true, refusal: 415, pretends: true}, "1.0", 1, 2},
		"says yes, then 400":              {choosy{one: true, refusal: 400, pretends: true}, "1.0", 1, 2},
		"says yes, then 403, of 2.0 415":  {choosy{one: true, refusal: 403, pretends: true}, "1.0", 1, 2},
		"says yes, then 503, of 2.0 415":  {choosy{one: true, refusal: 503, pretends: true}, "1.0", 3, 4},
		"503 to all but snappy, 2.0 415":  {choosy{one: true, refusal: 503}, "1.0", 3, 1},
		"501 to all but snappy, 2.0 415":  {choosy{one: true, refusal: 501}, "1.0", 3, 1},
		"a page for all but snappy":       {choosy{one: true, refusal: 200}, "1.0", 3, 1},
		"says yes, then a page, 2.0: 415": {choosy{one: true, refusal: 415, pretends: true}, "1.0", 1, 2},
	} {
		for _, live := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "/", live), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLife(t, func(cfg *Config) {
						if live {
							cfg.Order = OrderLiveFirst
						}
					})
					asked := 0
					l.stand(func(w http.ResponseWriter, r *http.Request, x received) bool {
						if x.asksForZstd() {
							asked++
						}
						if x.v2 && !c.two {
							w.WriteHeader(http.StatusUnsupportedMediaType)
							return true
						}
						return c.front(w, r, x)
					})
					stop := l.start()
					l.rounds(1080)
					check(t, "protocol", l.sender.Status().Protocol, c.protocol)
					check(t, "trouble", l.sender.Status().Trouble, "")
					stop()
					check(t, "outcome", outcome(l.source.outcome()), "delivered 10800 refused 0 uncertain 0 dropped map[]")
					check(t, "stored", l.db.stored, 10_800)
					check(t, "late", l.db.late, 0)
					check(t, "asked for zstd", asked, c.asked)
					if more := l.requests - 1080; more > c.repeated*len(l.sender.lanes) {
						t.Errorf("%d requests more than rounds", more)
					}
					if lines := strings.Count(l.log.String(), "\n"); lines > 12 {
						t.Errorf("%d lines of log:\n%s", lines, l.log)
					}
					l.again(t) // a restart remembers
					l.through(t, l.answer)
					before := l.requests
					stop = l.start()
					l.rounds(30)
					check(t, "protocol after a restart", l.sender.Status().Protocol, c.protocol)
					stop()
					check(t, "asked after a restart", asked, c.asked)
					check(t, "requests after a restart", l.requests-before, 30)
					check(t, "stored after a restart", l.db.stored, 11_100)
				})
			})
		}
	}
}

// A receiver that takes zstd is replaced, or something comes to stand before it; and it comes back.
func TestZstdIsGivenUpForGoodReasonOnly(t *testing.T) {
	zstdOnly := func(x received) bool { return x.header.Get("Content-Encoding") == "zstd" }
	for name, c := range map[string]struct {
		status int
		of     func(x received) bool
		within string // protocol an hour after
		after  string // a day later, when the trouble is over
	}{
		"replaced by one that says 415":    {415, zstdOnly, "1.0", "1.0 zstd"},
		"replaced by one that says 400":    {400, zstdOnly, "1.0", "1.0 zstd"},
		"a filter that says 403":           {403, zstdOnly, "1.0", "1.0 zstd"},
		"a gateway that says 502 to it":    {502, zstdOnly, "1.0", "1.0 zstd"},
		"503 to everything":                {503, func(received) bool { return true }, "1.0", "1.0 zstd"},
		"403 to everything":                {403, func(received) bool { return true }, "1.0", "1.0 zstd"},
		"429 to everything":                {429, func(received) bool { return true }, "1.0 zstd", "1.0 zstd"},
		"replaced by one that takes 2.0":   {415, func(x received) bool { return !x.v2 }, "2.0", "2.0"},
		"replaced by one that is all new":  {404, func(x received) bool { return !x.v2 }, "1.0", "1.0 zstd"},
		"400 to large requests, by zstd":   {400, func(x received) bool { return zstdOnly(x) && x.n > 5 }, "1.0", "1.0 zstd"},
		"503 to large requests, by zstd":   {503, func(x received) bool { return zstdOnly(x) && x.n > 5 }, "1.0", "1.0 zstd"},
		"413 to everything by zstd":        {413, zstdOnly, "1.0 zstd", "1.0 zstd"},
		"408 to everything":                {408, func(received) bool { return true }, "1.0 zstd", "1.0 zstd"},
		"307 to nowhere for all":           {307, func(received) bool { return true }, "1.0", "1.0 zstd"},
		"504 to what is not empty by zstd": {504, func(x received) bool { return zstdOnly(x) && !x.aside() }, "1.0", "1.0 zstd"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t)
				vm := choosy{one: true, zstd: true, refusal: 415}
				l.stand(vm.front)
				stop := l.start()
				l.rounds(60)
				check(t, "protocol before", l.sender.Status().Protocol, "1.0 zstd")
				l.stand(func(w http.ResponseWriter, r *http.Request, x received) bool {
					if c.of(x) {
						http.Error(w, "no", c.status)
						return true
					}
					if x.v2 && c.after == "2.0" {
						return false
					}
					return vm.front(w, r, x)
				})
				l.rounds(360)
				check(t, "protocol in trouble", l.sender.Status().Protocol, c.within)
				if c.after != "2.0" {
					l.stand(vm.front)
				}
				time.Sleep(askAgain)
				l.rounds(60)
				check(t, "protocol in the end", l.sender.Status().Protocol, c.after)
				stop()
				o := l.source.outcome()
				check(t, "appended", o.Delivered+o.Uncertain, 4800)
				check(t, "refused", o.Refused+len(o.Dropped), 0)
				check(t, "stored", l.db.stored, 4800)
				if lines := strings.Count(l.log.String(), "\n"); lines > 30 {
					t.Errorf("%d lines of log:\n%s", lines, l.log)
				}
			})
		})
	}
}

// A poisoned sample is found as by snappy, and zstd is not to blame.
func TestZstdAndAPoisonedSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		vm := choosy{one: true, zstd: true, refusal: 415}
		l.stand(vm.front)
		l.db.bad = func(_ string, _ int64, v float64) bool { return v == 7777 }
		stop := l.start()
		l.rounds(30)
		refs := series(10)
		values := make([]float64, 10)
		values[3] = 7777
		l.source.append(roundOf(refs, values, time.Now()))
		time.Sleep(10 * time.Second)
		l.rounds(30)
		check(t, "protocol", l.sender.Status().Protocol, "1.0 zstd")
		stop()
		check(t, "outcome", outcome(l.source.outcome()), "delivered 609 refused 1 uncertain 0 dropped map[]")
		check(t, "stored", l.db.stored, 609)
	})
}
