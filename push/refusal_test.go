package push

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOnePoisonedSampleCostsExactlyOne(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*Config)
		quiet    bool
		requests int
	}{
		"1.0":                                 {v1Only, false, 32},
		"2.0":                                 {v2Only, false, 2}, // the first one is small
		"2.0 without headers on errors":       {v2Only, true, 32},
		"auto, 2.0 without headers at errors": {func(*Config) {}, true, 34}, // and the 2.0 that was taken for unknown
	} {
		for _, at := range []int{0, 1, 4999, 9999} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				refs := series(2500)
				now := time.Now()
				poison := float64(at/2500*1000 + at%2500)
				ms := now.Add(time.Duration(at/2500) * time.Second).UnixMilli()
				db := &tsdb{quiet: c.quiet, bad: func(s string, m int64, v float64) bool { return m == ms && v == poison }}
				f, url := serve(t, db.answer)
				s := newSetup(t, config(url, c.change))
				s.source.fill(refs, 4, now, time.Second)
				s.run(t, s.drained)
				check(t, "outcome", outcome(s.source.outcome()), "delivered 9999 refused 1 uncertain 0 dropped map[]")
				check(t, "stored", db.stored, 9999)
				check(t, "late", db.late, 0)
				if n := len(f.requests()); n > c.requests {
					t.Errorf("%d requests, at most %d", n, c.requests)
				}
				if !strings.Contains(s.log.String(), "out of order sample") {
					t.Error("the refusal was not logged in the receiver's words")
				}
			})
		}
	}
}

func TestReceiverThatRefusesEverythingCostsARequestPerBatch(t *testing.T) {
	f, url := serve(t, func(w http.ResponseWriter, _ *http.Request, x received) { http.Error(w, "no", http.StatusBadRequest) })
	s := newSetup(t, config(url, v1Only))
	s.source.split = true
	s.source.fill(series(500), 3, time.Now(), time.Second)
	s.run(t, s.drained)
	before := len(f.requests())
	if before > 3*maxDivide {
		t.Errorf("%d requests for three batches", before)
	}
	s.again(t) // the count of refusals is the sender's; so it begins anew
	s.source.fill(series(500), 3+20, time.Now(), time.Second)
	s.run(t, s.drained)
	check(t, "outcome", outcome(s.source.outcome()), "delivered 0 refused 13000 uncertain 0 dropped map[]")
	check(t, "requests for 20 batches after three", len(f.requests())-2*before, 20)
}

func TestSplittingBeginsAgainWhenSomethingIsAccepted(t *testing.T) {
	refuse := true
	db := &tsdb{bad: func(s string, _ int64, v float64) bool { return refuse || strings.Contains(s, "s00007,") && v == 4007 }}
	_, url := serve(t, db.answer)
	s := newSetup(t, config(url, v1Only))
	s.source.split = true
	refs := series(50)
	s.source.fill(refs, 4, time.Now(), time.Second)
	s.run(t, s.drained)
	refuse = false
	s.source.fill(refs, 5, time.Now().Add(10*time.Second), time.Second)
	s.run(t, s.drained)
	check(t, "outcome", outcome(s.source.outcome()), "delivered 249 refused 201 uncertain 0 dropped map[]")
}

// A receiver that refuses a request for one bad sample in it is used again soon after something else has refused everything for a while.
func TestRefusalOfEverythingIsNotForEver(t *testing.T) {
	for variant, change := range map[string]func(*Config){"1.0": v1Only, "2.0": v2Only, "auto": func(*Config) {}} {
		t.Run(variant, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t, change)
				l.db.quiet = true
				l.db.bad = func(s string, _ int64, _ float64) bool { return strings.Contains(s, "s00003,") }
				stop := l.start()
				l.rounds(30)
				l.stand(func(w http.ResponseWriter, _ *http.Request, _ received) bool { w.WriteHeader(400); return true })
				l.rounds(12)
				l.stand(nil)
				l.rounds(8)
				before := l.source.outcome().Delivered
				l.rounds(60)
				stop()
				if got := l.source.outcome().Delivered - before; got < 9*60 {
					t.Errorf("%d of %d samples were delivered afterwards", got, 9*60)
				}
			})
		})
	}
}

func TestSeriesThatIsAlwaysRefusedIsLeftOut(t *testing.T) {
	db := &tsdb{bad: func(s string, _ int64, _ float64) bool {
		return strings.Contains(s, "s00003,") || strings.Contains(s, "s00777,") || strings.Contains(s, "s01999,")
	}}
	f, url := serve(t, db.answer)
	s := newSetup(t, config(url, v1Only))
	s.source.split = true
	refs := series(2000)
	const rounds = 40
	s.source.fill(refs, rounds, time.Now(), time.Second)
	s.run(t, s.drained)
	o := s.source.outcome()
	bad := 3 * rounds
	if lost := o.Refused + o.Dropped["series_refused"] - bad; lost > 2000/8 {
		t.Errorf("%s: %d samples of good series lost", outcome(o), lost)
	}
	if o.Dropped["series_refused"] < bad/2 {
		t.Errorf("%s: the three series were not left out soon", outcome(o))
	}
	if n := len(f.requests()); n > rounds+12*maxDivide {
		t.Errorf("%d requests for %d batches", n, rounds)
	}
	if all, out := s.sender.suspects.counts(time.Now()); all != 3 || out != 3 {
		t.Errorf("%d suspects, %d left out; want 3, 3", all, out)
	}
	s.sender.suspects.mu.Lock()
	for _, x := range s.sender.suspects.known {
		x.until = time.Now() // ten minutes later
	}
	s.sender.suspects.mu.Unlock()
	db.mu.Lock()
	db.bad = nil
	db.mu.Unlock()
	s.source.fill(refs, 1, time.Now().Add(time.Hour), time.Second)
	s.run(t, s.drained)
	check(t, "delivered of the last round", s.source.outcome().Delivered-o.Delivered, 2000)
	if all, _ := s.sender.suspects.counts(time.Now()); all != 0 {
		t.Errorf("%d suspects after all were accepted", all)
	}
}

func TestReceiverThatRefusesOldSamplesIsFoundOut(t *testing.T) {
	for name, change := range map[string]func(*Config){"1.0": v1Only, "2.0": v2Only} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := &tsdb{bound: time.Hour}
			f, url := serve(t, db.answer)
			s := newSetup(t, config(url, change))
			refs := series(200)
			const rounds = 24 * 60 * 2 // a day, every 30 s
			s.source.fill(refs, rounds, time.Now().Add(-24*time.Hour), 30*time.Second)
			s.run(t, s.drained)
			o := s.source.outcome()
			young := 119 * len(refs) // of the last hour, nearly
			const late = 40          // samples of one series that came late, because a newer one was accepted in the search
			if o.Delivered < young-late || o.Delivered+o.Refused != rounds*len(refs) {
				t.Errorf("%s; %d samples are less than an hour old", outcome(o), young)
			}
			large := 0
			for _, x := range f.requests() {
				if x.n > 1 {
					large += x.n
				}
			}
			if large > 5*maxSamples {
				t.Errorf("%d samples in requests to a receiver that takes %d", large, young)
			}
		})
	}
}

// A poisoned sample in a backlog must not be taken for a matter of age.
func TestPoisonInABacklog(t *testing.T) {
	for at := range 5 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			refs := series(100)
			db := &tsdb{bad: func(s string, _ int64, v float64) bool { return v == float64(at*7000+at*20) }}
			_, url := serve(t, db.answer)
			s := newSetup(t, config(url, v1Only))
			s.source.fill(refs, 60, time.Now().Add(-2*time.Hour), time.Minute)
			s.run(t, s.drained)
			check(t, "outcome", outcome(s.source.outcome()), "delivered 5999 refused 1 uncertain 0 dropped map[]")
		})
	}
}

func TestLostAnswerIsNeverSplitNorCountedAsRefused(t *testing.T) {
	db := &tsdb{lostNow: 1}
	f, url := serve(t, db.answer)
	s := newSetup(t, config(url, v1Only))
	s.source.fill(series(100), 5, time.Now(), time.Second) // five samples of a series: the first ones are late when they come again
	s.run(t, s.drained)
	check(t, "outcome", outcome(s.source.outcome()), "delivered 0 refused 0 uncertain 500 dropped map[]")
	check(t, "stored", db.stored, 500)
	got := f.requests()
	if len(got) != 2 || string(got[0].packed) != string(got[1].packed) {
		t.Errorf("%d requests; want the same one twice", len(got))
	}
	if len(s.source.fails) == 0 || !s.source.fails[0] {
		t.Errorf("the source was told %v of lost answers", s.source.fails)
	}
}

func TestLostAnswerOf20(t *testing.T) {
	db := &tsdb{lostNow: 1}
	_, url := serve(t, db.answer)
	s := newSetup(t, config(url, v2Only))
	s.source.fill(series(100), 5, time.Now(), time.Second)
	s.run(t, s.drained)
	o := s.source.outcome()
	if o.Refused != 0 || o.Delivered+o.Uncertain != 500 {
		t.Errorf("got %s; want nothing refused", outcome(o))
	}
}

func TestUnsureBatchOfAnEarlierProcess(t *testing.T) {
	db := &tsdb{}
	f, url := serve(t, db.answer)
	s := newSetup(t, config(url, v1Only))
	refs, now := series(100), time.Now()
	s.source.fill(refs, 5, now, time.Second)
	s.run(t, s.drained)
	s = newSetup(t, s.cfg)
	s.source.unsure = true
	s.source.fill(refs, 5, now, time.Second)
	s.run(t, s.drained)
	check(t, "outcome", outcome(s.source.outcome()), "delivered 0 refused 0 uncertain 500 dropped map[]")
	check(t, "requests", len(f.requests()), 2)
}

func TestStrictModeFollowsTheLetter(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 408, 409, 413, 415, 422, 451} {
		f, url := serve(t, func(w http.ResponseWriter, _ *http.Request, x received) { w.WriteHeader(status) })
		s := newSetup(t, config(url, v1Only, func(c *Config) { c.OnRefusal = RefusalDrop }))
		s.source.fill(series(10), 2, time.Now(), time.Second)
		s.run(t, s.drained)
		check(t, "outcome", outcome(s.source.outcome()), "delivered 0 refused 20 uncertain 0 dropped map[]")
		check(t, "requests", len(f.requests()), 1)
	}
}
