package push

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"headend-agent/internal/metric"
)

// By 2.0 every series of every request says all that is known of its family. A receiver keeps what came last, for minutes only: told
// the text now and then, it would show the family twice, with and without, and then without.
func TestMetadataIsComplete(t *testing.T) {
	f, url := serve(t, ok)
	s := newSetup(t, config(url, v2Only))
	s.deliver(t)
	s.deliver(t)
	s.again(t)
	s.deliver(t)
	n := 0
	for _, x := range f.requests() {
		for _, y := range x.series {
			n++
			check(t, "type", y.typ, int(writev2.Metadata_METRIC_TYPE_COUNTER))
			check(t, "help", y.help, "Bytes.")
			check(t, "unit", y.unit, "bytes")
		}
	}
	check(t, "series", n, 30)
}

// described are series of three families, one of which has changed its text and one a name that 1.0 does not know.
func described() []metric.Ref {
	table := metric.NewTable()
	var refs []metric.Ref
	for _, d := range []*metric.Desc{
		{Name: "b_total", Help: "New.", Type: metric.Counter}, {Name: "a_bytes", Help: strings.Repeat("x", 2*maxHelp), Type: metric.Gauge, Unit: metric.Bytes},
		{Name: "c.d", Help: "Dots.", Type: metric.Histogram},
	} {
		for i := range 3 {
			refs = append(refs, table.Intern(metric.LabelsOf(d.Name, "n", fmt.Sprint(i)), d))
		}
	}
	return refs
}

// snappyV1 is 1.0 that asks for nothing else: what comes without samples is metadata.
func snappyV1(c *Config) {
	v1Only(c)
	c.Compression = CompressionSnappy
}

// By 1.0 metadata goes by itself, once a minute, with each family once.
func TestMetadataOf10(t *testing.T) {
	for variant, change := range map[string]func(*Config){"1.0": snappyV1, "zstd": variants["zstd"], "live_first": func(c *Config) {
		snappyV1(c)
		c.Order = OrderLiveFirst
	}} {
		t.Run(variant, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t, change)
				var told []string
				l.stand(func(_ http.ResponseWriter, r *http.Request, x received) bool {
					if x.aside() {
						check(t, "encoding", r.Header.Get("Content-Encoding"), map[bool]string{true: "zstd", false: "snappy"}[variant == "zstd"])
						text := ""
						for _, m := range x.families {
							text += fmt.Sprintf("%s %s %s %d;", m.MetricFamilyName, m.Type, m.Unit, len(m.Help))
						}
						told = append(told, text)
					}
					return false
				})
				stop := l.start()
				refs := described()
				for range 60 {
					l.source.fill(refs, 1, time.Now(), time.Second)
					time.Sleep(10 * time.Second)
				}
				stop()
				if len(told) != 9 {
					t.Errorf("told %d times in ten minutes", len(told))
				}
				for _, text := range told {
					check(t, "families", text, fmt.Sprintf("a_bytes GAUGE bytes %d;b_total COUNTER  4;c_d HISTOGRAM  5;", maxHelp))
				}
				check(t, "outcome", outcome(l.source.outcome()), "delivered 540 refused 0 uncertain 0 dropped map[]")
				text := l.metrics(t)
				if !strings.Contains(text, `samples_sent_total{destination="test"} 540`) ||
					!strings.Contains(text, fmt.Sprintf(`requests_total{destination="test",status="204"} %d`, l.requests+9)) {
					t.Error(text)
				}
			})
		})
	}
}

// A receiver that does not take metadata is asked ever more rarely, once is said so, and no sample is late for it.
func TestMetadataThatIsRefused(t *testing.T) {
	for name, refuse := range map[string]func(w http.ResponseWriter){
		"400": func(w http.ResponseWriter) { w.WriteHeader(400) }, "415": func(w http.ResponseWriter) { w.WriteHeader(415) },
		"403": func(w http.ResponseWriter) { w.WriteHeader(403) }, "503": func(w http.ResponseWriter) { w.WriteHeader(503) },
		"429": func(w http.ResponseWriter) { w.Header().Set("Retry-After", "100"); w.WriteHeader(429) },
		"413": func(w http.ResponseWriter) { w.WriteHeader(413) }, "a page": func(w http.ResponseWriter) { w.Write([]byte(loginPage)) },
		"no answer": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t, snappyV1)
				late := time.Duration(0)
				l.stand(func(w http.ResponseWriter, r *http.Request, x received) bool {
					if !x.aside() {
						for _, s := range x.series {
							late = max(late, time.Since(time.UnixMilli(s.times[0])))
						}
						return false
					}
					if refuse == nil {
						sleep(r.Context(), time.Hour)
					} else {
						refuse(w)
					}
					return true
				})
				stop := l.start()
				l.rounds(720)
				check(t, "trouble", l.sender.Status().Trouble, "")
				stop()
				check(t, "outcome", outcome(l.source.outcome()), "delivered 7200 refused 0 uncertain 0 dropped map[]")
				if l.asides < 4 || l.asides > 7 {
					t.Errorf("told %d times in two hours", l.asides)
				}
				if late > asideTime+time.Second {
					t.Errorf("samples came %v late", late)
				}
				want := 1 // two of them in two hours
				if refuse == nil || name == "a page" {
					want = 0
				}
				if n := strings.Count(l.log.String(), "does not take metadata"); n < want || n > 2*want {
					t.Errorf("said %d times:\n%s", n, l.log)
				}
				check(t, "reduced", l.sender.receiver.reduced(protocolV1), false)
			})
		})
	}
}

// While nothing gets through, or something else answers, nobody is told anything.
func TestNoMetadataInTrouble(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter){
		"503": func(w http.ResponseWriter) { w.WriteHeader(503) }, "403": func(w http.ResponseWriter) { w.WriteHeader(403) },
		"page": func(w http.ResponseWriter) { w.Write([]byte(loginPage)) }, "text": func(w http.ResponseWriter) { w.Write([]byte("welcome")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t, snappyV1)
				stop := l.start()
				l.rounds(12)
				check(t, "before", l.asides, 1)
				l.stand(func(w http.ResponseWriter, _ *http.Request, _ received) bool { answer(w); return true })
				l.rounds(180)
				check(t, "then", l.asides, 1)
				l.stand(nil)
				l.rounds(60)
				if l.asides < 3 {
					t.Errorf("told %d times afterwards", l.asides-1)
				}
				stop()
				check(t, "outcome", outcome(l.source.outcome()), "delivered 2520 refused 0 uncertain 0 dropped map[]")
			})
		})
	}
}

// What does not fit into one request is told in several; of a family with two texts the newer one, until it has gone.
func TestMetadataOfManyFamilies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m metadata
		table := metric.NewTable()
		add := func(name, help string) {
			d := &metric.Desc{Name: name, Help: help}
			m.note([]metric.Samples{{Ref: table.Intern(metric.LabelsOf(name, "help", help), d)}}, time.Now())
		}
		for i := range 4500 {
			add(fmt.Sprintf("family_%04d", i), "x")
		}
		time.Sleep(time.Second)
		add("family_0007", "y")
		check(t, "not yet", len(m.take(time.Now())), 0)
		time.Sleep(describeEvery)
		all := m.take(time.Now())
		check(t, "families", len(all), 4500)
		check(t, "the newer text", all[7].Help, "y")
		check(t, "once", len(m.take(time.Now())), 0)
		var sizes []int
		b := newBuilder(benchmarkShaper())
		names := []string{}
		for bound := 1 << 20; len(all) > 0; bound = 20_000 {
			n := b.describe(all, bound)
			sizes = append(sizes, n)
			var w prompb.WriteRequest
			body := b.v1.finish()
			if err := w.Unmarshal(body); err != nil || len(body) > bound {
				t.Fatal(err, len(body))
			}
			for _, x := range w.Metadata {
				names = append(names, x.MetricFamilyName)
			}
			all = all[n:]
		}
		check(t, "in requests", fmt.Sprint(sizes), "[2000 1110 1110 280]")
		check(t, "in order", slices.IsSorted(names) && len(names) == 4500, true)
		time.Sleep(familyForgot)
		check(t, "an hour later", len(m.take(time.Now())), 0)
	})
}
