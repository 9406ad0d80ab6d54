package metric_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"headend-agent/internal/metric"
)

var (
	bytesTotal = &metric.Desc{Name: "test_bytes_total", Help: "Bytes.", Type: metric.Counter, Unit: metric.Bytes, Labels: []string{"device", "zone"}}
	up         = &metric.Desc{Name: "test_up", Help: "Up, with a \\ and\na line.", Type: metric.Gauge}
)

// finish ends a run and returns its samples as text, rounds in order.
func finish(s *metric.Set, end func(metric.Round, func(metric.Round))) string {
	var b strings.Builder
	end(metric.Round{Source: "test", TimeMs: 1000}, func(r metric.Round) {
		fmt.Fprintf(&b, "@%d", r.TimeMs)
		for i, ref := range r.Series {
			v := fmt.Sprint(r.Values[i])
			if metric.IsStale(r.Values[i]) {
				v = "stale"
			}
			fmt.Fprintf(&b, " %s=%s", ref.Labels, v)
		}
		b.WriteString("\n")
	})
	return b.String()
}

func check(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestSetEndsVanishedSeriesOnce(t *testing.T) {
	s := metric.NewSet(metric.NewTable(), 100)
	add := func(devices ...string) string {
		s.Reset()
		for i, d := range devices {
			s.Add(bytesTotal, float64(i), d, "")
		}
		return finish(s, s.End)
	}
	check(t, add("a", "b"), "@1000 test_bytes_total{device=\"a\"}=0 test_bytes_total{device=\"b\"}=1\n")
	check(t, add("b"), "@1000 test_bytes_total{device=\"b\"}=0 test_bytes_total{device=\"a\"}=stale\n")
	check(t, add("b"), "@1000 test_bytes_total{device=\"b\"}=0\n")
	s.Reset()
	check(t, finish(s, s.Fail), "@1000 test_bytes_total{device=\"b\"}=stale\n")
	s.Reset()
	check(t, finish(s, s.Fail), "")
	check(t, add("b", "a"), "@1000 test_bytes_total{device=\"b\"}=0 test_bytes_total{device=\"a\"}=1\n")
	check(t, add(), "@1000 test_bytes_total{device=\"b\"}=stale test_bytes_total{device=\"a\"}=stale\n")
	check(t, add(), "")
}

func TestSetCountsRepeatsAndTheLimit(t *testing.T) {
	s := metric.NewSet(metric.NewTable(), 2)
	for range 2 { // the second run takes the quick path
		s.Reset()
		s.Add(bytesTotal, 1, "a", "x")
		s.Add(bytesTotal, 2, "a", "x")
		s.Add(bytesTotal, 3, "b", "x")
		check(t, finish(s, s.End), "@1000 test_bytes_total{device=\"a\",zone=\"x\"}=1\n")
		if over, repeats := s.Counts(); over != 1 || repeats != 1 {
			t.Errorf("over %d, repeats %d; want 1, 1", over, repeats)
		}
	}
}

func TestSetTimesOfTheSource(t *testing.T) {
	s := metric.NewSet(metric.NewTable(), 100)
	run := func() string {
		s.Reset()
		r := s.Intern(metric.LabelsOf("own"), up)
		s.AddRef(r, 1, 700)
		s.AddRef(s.Intern(metric.LabelsOf("older"), up), 2, 500)
		s.AddRef(r, 3, 500)
		s.AddRef(s.Intern(metric.LabelsOf("now"), up), 4, 0)
		return finish(s, s.End)
	}
	want := "@500 older=2 own=3\n@700 own=1\n@1000 now=4\n"
	check(t, run(), want)
	check(t, run(), want)
	s.Reset()
	for value := range 3 {
		s.AddRef(s.Intern(metric.LabelsOf("own"), up), float64(value), 700)
	}
	s.AddRef(s.Intern(metric.LabelsOf("now"), up), 4, 0)
	check(t, finish(s, s.End), "@700 own=0\n@1000 now=4\n")
	if _, repeats := s.Counts(); repeats != 2 {
		t.Errorf("%d repeats, want 2", repeats)
	}
	s.Reset()
	check(t, finish(s, s.End), "@1000 now=stale\n") // only the series without times of their own
}

func TestSteadyRoundsShareTheirSeries(t *testing.T) {
	s := metric.NewSet(metric.NewTable(), 100)
	var last []metric.Ref
	for i := range 3 {
		s.Reset()
		s.Add(up, 1)
		s.Add(bytesTotal, float64(i), "a", "b")
		s.End(metric.Round{}, func(r metric.Round) {
			if last != nil && &last[0] != &r.Series[0] {
				t.Error("a steady round has a new Series slice")
			}
			last = r.Series
		})
	}
}

func TestTableForgets(t *testing.T) {
	table := metric.NewTable()
	kept := table.Intern(metric.LabelsOf("kept", "a", "b"), up)
	for i := range 200_000 {
		table.Intern(metric.LabelsOf("gone", "n", fmt.Sprint(i)), nil)
		if i%10_000 == 0 {
			runtime.GC()
		}
	}
	if n := table.Len(); n > 100_000 {
		t.Errorf("%d series kept after 200,000 that nobody held", n)
	}
	if again := table.Intern(metric.LabelsOf("kept", "a", "b"), nil); again != kept || again.Desc() != up {
		t.Error("a held series was interned anew")
	}
}

func TestLabels(t *testing.T) {
	l := metric.LabelsOf("m", "z", "1", "a", "q\"\\\nx", "empty", "", "bad", "\xff", "long", strings.Repeat("x", 300))
	if got, want := l.String(), `m{a="q\"\\\nx",bad="�",long="`+strings.Repeat("x", 300)+`",z="1"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	for i := 1; i < len(l); i++ {
		if cut := l[:i]; cut.Check() == nil && cut.Name() != "m" && cut.Get("a") == "" {
			t.Errorf("cut at %d passes: %q", i, string(cut))
		}
	}
}

func FuzzLabelsCheck(f *testing.F) {
	f.Add(string(metric.LabelsOf("m", "a", "b")))
	f.Add("\xff\xff\xff\xff\xff\x01")
	f.Fuzz(func(t *testing.T, s string) {
		l := metric.Labels(s)
		if l.Check() != nil {
			return
		}
		var ls []metric.Label
		for n, v := range l.All() {
			ls = append(ls, metric.Label{Name: n, Value: v})
		}
		if again := metric.NewLabels(ls); string(again) != strings.ToValidUTF8(s, "\uFFFD") && string(again) != s {
			for _, x := range ls {
				if strings.ToValidUTF8(x.Value, "") != x.Value {
					return // packing mends the value
				}
			}
			t.Errorf("%q packs again to %q", s, again)
		}
	})
}

func TestText(t *testing.T) {
	table := metric.NewTable()
	s := metric.NewSet(table, 100)
	s.Add(up, math.Inf(1))
	s.Add(bytesTotal, 1.5e12, "a\"b", "")
	s.Add(bytesTotal, math.NaN(), "c", "")
	var text metric.Text
	s.End(metric.Round{}, text.Add)
	var b strings.Builder
	if _, err := text.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	check(t, b.String(), `# HELP test_bytes_total Bytes.
# TYPE test_bytes_total counter
test_bytes_total{device="a\"b"} 1.5e+12
test_bytes_total{device="c"} NaN
# HELP test_up Up, with a \\ and\na line.
# TYPE test_up gauge
test_up +Inf
`)
}

// Whatever becomes of the order, and whatever comes and goes: each series is there once, and those that went are ended.
func TestSetInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := metric.NewSet(metric.NewTable(), 10_000)
	before := map[string]bool{}
	for run := range 60 {
		var now []int
		for i := range 3000 {
			if run%3 == 0 || random.IntN(10) > 0 { // every third run has all, the others lack some
				now = append(now, i)
			}
		}
		switch run % 4 {
		case 1:
			random.Shuffle(len(now), func(i, j int) { now[i], now[j] = now[j], now[i] })
		case 2:
			slices.Reverse(now)
		case 3:
			now = append(now[len(now)/2:], now[:len(now)/2]...)
		}
		s.Reset()
		want := map[string]bool{}
		for _, i := range now {
			s.Add(bytesTotal, float64(i), fmt.Sprint(i), "x")
			want[fmt.Sprint(i)] = true
		}
		s.End(metric.Round{}, func(r metric.Round) {
			for i, ref := range r.Series {
				device := ref.Labels.Get("device")
				switch stale := metric.IsStale(r.Values[i]); {
				case stale && (want[device] || !before[device]):
					t.Fatalf("run %d: %s is ended", run, device)
				case !stale && (fmt.Sprint(r.Values[i]) != device || i >= len(now)):
					t.Fatalf("run %d: %s has the value %v", run, device, r.Values[i])
				}
				delete(before, device)
			}
			if len(r.Series) < len(now) {
				t.Fatalf("run %d: %d series of %d", run, len(r.Series), len(now))
			}
		})
		for device := range before {
			t.Fatalf("run %d: %s is not ended", run, device)
		}
		before = want
		if _, repeats := s.Counts(); repeats > 0 {
			t.Fatalf("run %d: %d repeats", run, repeats)
		}
	}
}

// BenchmarkShuffledRound is the worst case of a source that keeps no order.
func BenchmarkShuffledRound(b *testing.B) {
	s := metric.NewSet(metric.NewTable(), 10_000)
	devices := make([]string, 1000)
	for i := range devices {
		devices[i] = fmt.Sprintf("device-%d", i)
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		rand.Shuffle(len(devices), func(i, j int) { devices[i], devices[j] = devices[j], devices[i] })
		b.StartTimer()
		s.Reset()
		for i, d := range devices {
			s.Add(bytesTotal, float64(i), d, "x")
		}
		s.End(metric.Round{Source: "bench"}, func(metric.Round) {})
	}
	b.ReportMetric(float64(b.N*len(devices))/b.Elapsed().Seconds(), "samples/s")
}

func BenchmarkSteadyRound(b *testing.B) {
	s := metric.NewSet(metric.NewTable(), 10_000)
	devices := make([]string, 1000)
	for i := range devices {
		devices[i] = fmt.Sprintf("device-%d", i)
	}
	sum := 0.0
	yield := func(r metric.Round) { sum += r.Values[0] }
	b.ReportAllocs()
	for b.Loop() {
		s.Reset()
		for i, d := range devices {
			s.Add(bytesTotal, float64(i), d, "x")
		}
		s.End(metric.Round{Source: "bench"}, yield)
	}
	b.ReportMetric(float64(b.N*len(devices))/b.Elapsed().Seconds(), "samples/s")
}

// Label values that cannot be kept as they are still stand for the same series, at no cost.
func TestMendedValuesAreSteady(t *testing.T) {
	s := metric.NewSet(metric.NewTable(), 100)
	var last []metric.Ref
	run := func() {
		s.Reset()
		s.Add(bytesTotal, 1, "bad\xff", "x")
		s.Add(bytesTotal, 2, "worse\xff\xfe", "")
		s.Add(bytesTotal, 3, "good", "x")
		s.End(metric.Round{}, func(r metric.Round) { last = r.Series })
	}
	run()
	first := last
	if n := testing.AllocsPerRun(100, run); n > 0 {
		t.Errorf("%v allocations a run", n)
	}
	if len(first) != 3 || &first[0] != &last[0] || first[0].Labels.Get("device") != "bad\uFFFD" {
		t.Errorf("%v, then %v", first, last)
	}
}

func TestSteadyRoundDoesNotAllocate(t *testing.T) {
	s := metric.NewSet(metric.NewTable(), 10_000)
	yield := func(metric.Round) {}
	run := func() {
		s.Reset()
		for i := range 100 {
			s.Add(bytesTotal, float64(i), "device", names[i])
		}
		s.End(metric.Round{}, yield)
	}
	run()
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations in a steady round", n)
	}
}

var names = func() (ns [100]string) {
	for i := range ns {
		ns[i] = fmt.Sprint("n", i)
	}
	return
}()
