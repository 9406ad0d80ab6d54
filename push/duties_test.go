package push

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/relabel"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"headend-agent/internal/metric"
)

// sent is what a receiver gets of a few samples, in each protocol.
func sent(t *testing.T, fill func(*memory), change ...func(*Config)) map[string]received {
	t.Helper()
	all := map[string]received{}
	for name, pin := range map[string]func(*Config){"1.0": v1Only, "2.0": v2Only} {
		f, url := serve(t, ok)
		s := newSetup(t, config(url, append(change, pin)...))
		fill(s.source)
		s.run(t, s.drained)
		if len(f.requests()) != 1 {
			t.Fatalf("%d requests; want 1", len(f.requests()))
		}
		all[name] = f.requests()[0]
	}
	return all
}

var odd = []metric.Ref{
	metric.NewTable().Intern(metric.LabelsOf("odd_total", "b", "2", "a", "1", "empty", "", "z", "\xff", "__tmp", "x"),
		&metric.Desc{Name: "odd_total", Help: "Odd things.", Type: metric.Counter, Unit: metric.Bytes}),
	metric.NewTable().Intern(metric.LabelsOf("odd", "job", "own"), &metric.Desc{Name: "odd", Help: "Odd.", Type: metric.Gauge}),
}

// TestDuties names each MUST and SHOULD of the two specifications that shows in one request.
func TestDuties(t *testing.T) {
	values := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, 5e-324, math.Copysign(0, -1), metric.Stale()}
	now := time.Now().Truncate(time.Millisecond)
	got := sent(t, func(m *memory) {
		for i, v := range values {
			r := roundOf(odd, []float64{v, v}, now.Add(time.Duration(i)*time.Millisecond))
			r.StartMs = now.Add(-time.Hour).UnixMilli()
			m.append(r)
		}
	})
	each := func(what string, f func(t *testing.T, name string, x received)) {
		t.Run(what, func(t *testing.T) {
			for name, x := range got {
				f(t, name, x)
			}
		})
	}
	each("MUST: POST of protobuf, compressed as a snappy block", func(t *testing.T, name string, x received) {
		if _, err := snappy.DecodedLen(x.packed); err != nil || bytes.HasPrefix(x.packed, []byte("\xff\x06\x00\x00sNaPpY")) {
			t.Errorf("%s: %v", name, err)
		}
	})
	each("MUST: the four headers", func(t *testing.T, name string, x received) {
		check(t, "Content-Encoding", x.header.Get("Content-Encoding"), "snappy")
		check(t, "User-Agent", x.header.Get("User-Agent"), "headend-agent/1.2.3")
		contentType, version := "application/x-protobuf", "0.1.0"
		if name == "2.0" {
			contentType, version = "application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"
		}
		check(t, "Content-Type", x.header.Get("Content-Type"), contentType)
		check(t, "version", x.header.Get("X-Prometheus-Remote-Write-Version"), version)
	})
	each("MUST: labels full, sorted, without repeats and empty parts; own ones win", func(t *testing.T, name string, x received) {
		for _, s := range x.series {
			if !slices.IsSorted(s.names) || len(slices.Compact(slices.Clone(s.names))) != len(s.names) || slices.Contains(s.names, "empty") {
				t.Errorf("%s: %s", name, s.labels)
			}
		}
		var all []string
		for _, s := range x.series {
			all = append(all, s.labels)
		}
		slices.Sort(all)
		check(t, name, strings.Join(all, "\n"), "__name__=odd,instance=edge1,job=own,\n__name__=odd_total,__tmp=x,a=1,b=2,instance=edge1,job=headend,z=\uFFFD,")
	})
	each("SHOULD: __name__ is there; MUST (1.0): names match the regular expressions", func(t *testing.T, name string, x received) {
		for _, s := range x.series {
			for _, n := range s.names {
				if !regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`).MatchString(n) || !strings.HasPrefix(s.labels, "__name__=odd") {
					t.Errorf("%s: %s", name, s.labels)
				}
			}
		}
	})
	each("MUST: float64 as it is, NaN, infinities and the stale marker included, int64 milliseconds in order", func(t *testing.T, name string, x received) {
		for _, s := range x.series {
			for i, v := range values {
				if math.Float64bits(s.values[i]) != math.Float64bits(v) || s.times[i] != now.UnixMilli()+int64(i) {
					t.Errorf("%s: sample %d is %x at %d", name, i, math.Float64bits(s.values[i]), s.times[i])
				}
			}
		}
	})
	two := got["2.0"]
	t.Run("MUST (2.0): symbols begin with the empty one, without repeats", func(t *testing.T) {
		symbols := slices.Clone(two.series[0].symbols)
		check(t, "first", symbols[0], "")
		slices.Sort(symbols)
		check(t, "without repeats", len(slices.Compact(symbols)), len(two.series[0].symbols))
	})
	t.Run("SHOULD (2.0): metadata with each series; start timestamps of counters", func(t *testing.T) {
		for _, s := range two.series {
			typ, help, start := writev2.Metadata_METRIC_TYPE_GAUGE, "Odd.", int64(0)
			if strings.Contains(s.labels, "odd_total") {
				typ, help, start = writev2.Metadata_METRIC_TYPE_COUNTER, "Odd things.", now.Add(-time.Hour).UnixMilli()
			}
			check(t, "type", s.typ, int(typ))
			check(t, "help", s.help, help)
			check(t, "start", s.starts[0], start)
		}
	})
}

func TestDutyNamesOf10(t *testing.T) {
	ref := metric.NewTable().Intern(metric.LabelsOf("потоки.всего", "имя", "a", "a.b", "c", "a:b", "d"), nil)
	got := sent(t, func(m *memory) { m.append(roundOf([]metric.Ref{ref}, []float64{1}, time.Now())) })
	check(t, "1.0", got["1.0"].series[0].labels, "___=a,__name__=____________,a_b=c,instance=edge1,job=headend,")
	check(t, "2.0", got["2.0"].series[0].labels, "__name__=потоки.всего,a.b=c,a:b=d,instance=edge1,job=headend,имя=a,")
}

func TestDutyHeadersCannotBeOverridden(t *testing.T) {
	for _, h := range []string{"content-encoding", "Content-Type", "user-agent", "X-Prometheus-Remote-Write-Version", "Host"} {
		cfg := config("http://x", func(c *Config) { c.Headers = map[string]string{h: "x"} })
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "protocol") {
			t.Errorf("%s: %v", h, err)
		}
	}
	got := sent(t, func(m *memory) { m.fill(series(1), 1, time.Now(), time.Second) }, func(c *Config) {
		c.Headers = map[string]string{"X-Scope-OrgID": "tv", "THANOS-TENANT": "tv2"}
	})
	check(t, "tenant", got["1.0"].header.Get("X-Scope-OrgID")+got["2.0"].header.Get("THANOS-TENANT"), "tvtv2")
}

// MUST retry 5xx with backoff, MUST NOT retry 2xx and 4xx but 429: of the thing that was refused, nothing comes again.
func TestDutyOfRetries(t *testing.T) {
	for status, again := range map[int]bool{200: false, 204: false, 400: false, 409: false, 422: false, 429: true, 500: true, 503: true} {
		synctest.Test(t, func(t *testing.T) {
			s := newSetup(t, config("http://x", v1Only))
			n := 0
			s.through(t, func(w http.ResponseWriter, r *http.Request, x received) { n++; w.WriteHeader(status) })
			s.source.fill(series(1), 1, time.Now(), time.Second)
			stop := s.start()
			time.Sleep(time.Minute)
			stop()
			// A lone refused sample is asked for once more where that tells what was wrong with it; never after that.
			if again != (n > 2) {
				t.Errorf("%d: %d requests in a minute", status, n)
			}
		})
	}
}

// What conforming senders are looked at for: at most two requests in 8 s to one that says 400, 401, 404 or 413.
func TestDutyNotToHammer(t *testing.T) {
	for _, status := range []int{400, 401, 404, 413} {
		synctest.Test(t, func(t *testing.T) {
			s := newSetup(t, config("http://x", v1Only))
			n := 0
			s.through(t, func(w http.ResponseWriter, r *http.Request, x received) { n++; w.WriteHeader(status) })
			s.source.fill(series(1), 1, time.Now(), time.Second)
			stop := s.start()
			time.Sleep(8 * time.Second)
			stop()
			if n > 2 {
				t.Errorf("%d: %d requests in 8 s", status, n)
			}
		})
	}
}

// A receiver that sorts out replicas looks at the first series of a request only.
func TestReplicaLabelsComeFirst(t *testing.T) {
	table := metric.NewTable()
	relayed := table.Intern(metric.LabelsOf("relayed", "cluster", "other", "__replica__", "b"), nil)
	own := table.Intern(metric.LabelsOf("own"), nil)
	ha := []metric.Label{{Name: "cluster", Value: "tv"}, {Name: "__replica__", Value: "a"}}
	for _, rules := range [][]*relabel.Config{nil, {{Action: relabel.LabelDrop, Regex: relabel.MustNewRegexp("nothing")}}} {
		b := newBuilder(newShaper(ha, rules))
		set := []metric.Samples{{Ref: relayed, Points: []metric.Point{{TimeMs: 1, Value: 1}}}, {Ref: own, Points: []metric.Point{{TimeMs: 1, Value: 1}}}}
		for _, p := range []*protocol{protocolV1, protocolV2} {
			set[0].Ref, set[1].Ref = relayed, own
			r, _ := b.build(set, p, &limits{line: maxPacked})
			h := http.Header{"Content-Type": {p.contentType}, "Content-Encoding": {p.encoding}}
			x := decodeRequest(t, h, r.packed)
			check(t, "first", x.series[0].labels, "__name__=own,__replica__=a,cluster=tv,")
			check(t, "second", x.series[1].labels, "__name__=relayed,__replica__=b,cluster=other,")
		}
	}
}

func TestRelabelling(t *testing.T) {
	f, url := serve(t, ok)
	s := newSetup(t, config(url, func(c *Config) {
		drop := relabel.DefaultRelabelConfig
		drop.Action, drop.SourceLabels, drop.Regex = relabel.Drop, []model.LabelName{"stream"}, relabel.MustNewRegexp("s00001")
		set := relabel.DefaultRelabelConfig
		set.TargetLabel, set.Replacement = "site", "msk-1"
		c.WriteRelabelConfigs = []*relabel.Config{&drop, &set}
	}))
	s.source.fill(series(3), 2, time.Now(), time.Second)
	s.run(t, s.drained)
	check(t, "outcome", outcome(s.source.outcome()), "delivered 4 refused 0 uncertain 0 dropped map[relabel:2]")
	for _, x := range f.requests()[0].series {
		if strings.Contains(x.labels, "s00001") || !strings.Contains(x.labels, ",site=msk-1,") {
			t.Error(x.labels)
		}
	}
}

// A million series that come and go must not stay in memory because they were once relabelled.
func TestRelabellingForgets(t *testing.T) {
	set := relabel.DefaultRelabelConfig
	set.TargetLabel, set.Replacement = "site", "msk-1"
	s := newShaper(nil, []*relabel.Config{&set})
	table := metric.NewTable()
	for i := range 3 * turnBeyond {
		s.labels(table.Intern(metric.LabelsOf("m", "n", string(rune(i+1))), nil))
	}
	if n := len(s.shaped) + len(s.before); n > 2*turnBeyond {
		t.Errorf("%d results are remembered", n)
	}
}

func TestRequestsStayWithinTheLimits(t *testing.T) {
	set := batchOf(2000, 5)
	b := newBuilder(benchmarkShaper())
	for _, p := range []*protocol{protocolV1, protocolV2, protocolVM} {
		for _, l := range []limits{{line: maxPacked}, {}, {line: maxPacked, bytes: bound{limit: 50_000}}, {line: 3_000}, {line: minPacked}, {samples: bound{limit: 1_000}}} {
			rest, n := set, 0
			for len(rest) > 0 {
				r, over := b.build(rest, p, &l)
				if r.taken > maxSeries || r.samples > p.samples || len(r.packed) > l.packed() && r.taken > 1 || over && r.taken > 1 {
					t.Fatalf("%s: %d series in %d bytes, limit %d", p.name, r.taken, len(r.packed), l.packed())
				}
				rest = rest[r.taken:]
				n += r.samples
				if len(set)-len(rest) > 2000 && l.line == minPacked {
					break
				}
			}
			if n < 2000 {
				t.Errorf("%s: %d samples of %d", p.name, n, len(set))
			}
		}
	}
	if r, _ := b.build(batchOf(4000, 1), protocolV2, &limits{line: maxPacked}); r.taken != maxSeries {
		t.Errorf("%d series of 40,000 in a request", r.taken)
	}
	e := newEncoderV2()
	e.begin()
	n := 0
	for i := range set {
		if !e.add([]metric.Label{{Name: "__name__", Value: set[i].Ref.Labels.Get("stream")}}, &set[i], 10_000) {
			break
		}
		n++
	}
	if size := len(e.finish()); size > 10_000 || size < 9_000 {
		t.Errorf("%d series in %d bytes", n, size)
	}
}

// The backlog of a host with many series goes in requests that hold several samples of each.
func TestBacklogOfManySeries(t *testing.T) {
	f, url := serve(t, ok)
	s := newSetup(t, config(url, v2Only))
	s.source.fill(series(20_000), 17, time.Now().Add(-time.Hour), time.Second)
	s.run(t, s.drained)
	check(t, "delivered", s.source.outcome().Delivered, 340_000)
	if n := len(f.requests()); n > 2+9 { // two rounds, then five in three requests
		t.Errorf("%d requests", n)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s := newSetup(t, config("http://127.0.0.1:1"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.sender.Run(ctx)
}
