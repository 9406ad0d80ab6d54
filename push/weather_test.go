package push

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
)

var weathers = flag.Int("weathers", 8, "lives of TestWeather")

// front is what stands before a receiver for a while: it answers, or leaves that to the receiver.
type front func(w http.ResponseWriter, r *http.Request, x received) bool

// fronts makes one of each kind.
func fronts(random *rand.Rand, db *tsdb, poison bool) map[string]front {
	status := []int{429, 500, 503, 401, 403, 404, 302, 502, 504}[random.IntN(9)]
	if poison && (status == 502 || status == 504) {
		status = 503
	}
	samples, bytes := 1<<random.IntN(16), 200<<random.IntN(10)
	slow := time.Duration(random.IntN(200)) * time.Second
	rate := float64(uint(500) << random.IntN(8)) // bytes/s
	refuse := func(w http.ResponseWriter, status int) bool { http.Error(w, "weather", status); return true }
	all := map[string]front{
		"well":   func(http.ResponseWriter, *http.Request, received) bool { return false },
		"status": func(w http.ResponseWriter, _ *http.Request, _ received) bool { return refuse(w, status) },
		"413":    func(w http.ResponseWriter, _ *http.Request, _ received) bool { return refuse(w, 413) },
		"page":   func(w http.ResponseWriter, _ *http.Request, _ received) bool { w.Write([]byte(loginPage)); return true },
		"text":   func(w http.ResponseWriter, _ *http.Request, _ received) bool { w.Write([]byte("welcome")); return true },
		"429 to many samples": func(w http.ResponseWriter, _ *http.Request, x received) bool {
			return x.n > samples && refuse(w, 429)
		},
		"413 to large bodies": func(w http.ResponseWriter, _ *http.Request, x received) bool {
			return len(x.packed) > bytes && refuse(w, 413)
		},
		"thin": func(_ http.ResponseWriter, r *http.Request, x received) bool {
			sleep(r.Context(), time.Duration(float64(len(x.packed))/rate*float64(time.Second)))
			return r.Context().Err() != nil
		},
		"old, 415": func(w http.ResponseWriter, _ *http.Request, x received) bool { return x.v2 && refuse(w, 415) },
		"old, 400": func(w http.ResponseWriter, _ *http.Request, x received) bool { return x.v2 && refuse(w, 400) },
		"old, silent": func(w http.ResponseWriter, r *http.Request, x received) bool {
			return x.v2 && silent(w, r, x)
		},
		"stripped": func(w http.ResponseWriter, r *http.Request, x received) bool {
			if !x.undecodable && x.v2 {
				db.answer(stripped{w}, r, x)
			}
			return !x.undecodable && x.v2
		},
		"Retry-After": func(w http.ResponseWriter, _ *http.Request, _ received) bool {
			w.Header().Set("Retry-After", fmt.Sprint(random.IntN(100)))
			return refuse(w, 429)
		},
	}
	if !poison { // a refusal after a lost answer is the end of the whole request: nobody knows
		all["stored, 504"] = func(w http.ResponseWriter, r *http.Request, x received) bool {
			if !x.undecodable {
				db.answer(discarding{w}, r, x)
			}
			return refuse(w, 504)
		}
		all["stored, no answer"] = func(w http.ResponseWriter, r *http.Request, x received) bool {
			if !x.undecodable {
				db.answer(discarding{w}, r, x)
			}
			sleep(r.Context(), slow)
			return true
		}
	}
	return all
}

// TestWeather lets receivers change as they like for some hours and wants everything to have its one end after that. It prints the
// seed of a life that fails.
func TestWeather(t *testing.T) {
	for life := range *weathers {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(life), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { weather(t, seed) })
		})
	}
}

func weather(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	variant := []string{"auto", "1.0", "2.0", "zstd", "live_first"}[random.IntN(5)]
	poison := random.IntN(2) == 0
	l := newLife(t, variants[variant], func(c *Config) { c.FlushInterval = model.Duration(5 * time.Second) })
	l.db.window = true
	bad := 0
	if poison {
		l.db.bad = func(s string, _ int64, v float64) bool { return v == 7777 }
	}
	refs := series(1 + random.IntN(400))
	appended := 0
	stop := l.start()
	var told []string
	tell := func(what string) { told = append(told, time.Now().Format("15:04:05 ")+what) }
	round := func() {
		values := make([]float64, len(refs))
		for i := range values {
			values[i] = random.Float64()
		}
		if left, _ := l.source.Pending(); poison && left == 0 && random.IntN(100) == 0 { // in a batch of its own
			values[random.IntN(len(values))] = 7777
			bad++
		}
		l.source.append(roundOf(refs, values, time.Now()))
		appended += len(refs)
	}
	for range 10 + random.IntN(20) {
		all := fronts(random, &l.db, poison)
		names := make([]string, 0, len(all))
		for name := range all {
			if variant == "2.0" && (strings.HasPrefix(name, "old") || name == "stripped") {
				continue // it waits for them to pass, which it may as well
			}
			names = append(names, name)
		}
		slices.Sort(names)
		name := names[random.IntN(len(names))]
		tell(name)
		l.stand(all[name])
		for end := time.Now().Add(time.Duration(1+random.IntN(900)) * time.Second); time.Now().Before(end); time.Sleep(10 * time.Second) {
			round()
			if random.IntN(100) == 0 { // a burst
				for range random.IntN(200) {
					time.Sleep(time.Millisecond)
					round()
				}
			}
		}
	}
	l.stand(nil)
	tell("well")
	time.Sleep(2 * time.Hour)
	left, _ := l.source.Pending()
	stop()
	o := l.source.outcome()
	lost := appended - l.db.stored - left
	if left > 0 || lost != bad || len(o.Dropped) > 0 || o.Refused+o.Uncertain < bad {
		t.Errorf("seed %d, %s: %d appended, %d of them poisoned, %d left, %d lost, %s", seed, variant, appended, bad, left, lost, outcome(o))
	}
	if !poison && o.Refused > 0 {
		t.Errorf("seed %d: %s", seed, outcome(o))
	}
	if lines := strings.Count(l.log.String(), "\n"); lines > 200 {
		t.Errorf("seed %d: %d lines of log", seed, lines)
	}
	if t.Failed() {
		t.Logf("%s\n%s", strings.Join(told, "\n"), l.log)
	}
}
