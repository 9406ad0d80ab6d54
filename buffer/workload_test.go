package buffer

import (
	"fmt"
	"math"
	"math/rand/v2"

	"headend-agent/internal/metric"
)

// workload is a machine with streams: for each of them counters with 3 to 5 % noise, noisy gauges, rare errors, flags; and three
// host series for each, in as many sources as there are probes. Timestamps jitter by 20 ms.
type workload struct {
	sources []workSource
	r       *rand.Rand
	startMs int64
	stepMs  int64
	rounds  int
}

type workSource struct {
	id     metric.SourceID
	series []metric.Ref
	next   []func() float64
	values []float64
}

func newWorkload(table *metric.Table, streams int) *workload {
	w := &workload{r: rand.New(rand.NewPCG(1, 2)), startMs: 1_790_000_000_000, stepMs: 5000}
	w.addStreams(table, streams)
	w.addHost(table, 3*streams)
	return w
}

func (w *workload) samples() (n int) {
	for _, s := range w.sources {
		n += len(s.series)
	}
	return n
}

// next yields the rounds of one tick. They are valid until the next call.
func (w *workload) next(yield func(metric.Round)) {
	tick := w.startMs + int64(w.rounds)*w.stepMs
	w.rounds++
	for i := range w.sources {
		s := &w.sources[i]
		for k, f := range s.next {
			s.values[k] = f()
		}
		yield(metric.Round{Source: s.id, TimeMs: tick + w.r.Int64N(20), StartMs: w.startMs, Epoch: 42, Series: s.series, Values: s.values})
	}
}

func (w *workload) add(id string, series []metric.Ref, next []func() float64) {
	w.sources = append(w.sources, workSource{metric.SourceID(id), series, next, make([]float64, len(next))})
}

func (w *workload) noise(deviation float64) float64 { return w.r.NormFloat64() * deviation }

// counter grows by rate a second, with noise.
func (w *workload) counter(rate, noise float64) func() float64 {
	t := w.r.Float64() * rate * 1e6
	return func() float64 {
		t += rate * 5 * (1 + w.noise(noise))
		return math.Floor(t)
	}
}

func (w *workload) rare(chance int) func() float64 {
	t := 0.0
	return func() float64 {
		if w.r.IntN(chance) == 0 {
			t++
		}
		return t
	}
}

func constant(v float64) func() float64 { return func() float64 { return v } }

var streamFamilies = []struct {
	name string
	typ  metric.Type
}{
	{"bytes_in", metric.Counter}, {"bytes_out", metric.Counter}, {"packets_in", metric.Counter}, {"frames", metric.Counter},
	{"errors", metric.Counter}, {"retry_count", metric.Counter}, {"bitrate", metric.Gauge}, {"client_count", metric.Gauge},
	{"client_delay", metric.Gauge}, {"fps", metric.Gauge}, {"running", metric.Gauge}, {"start_running_at", metric.Gauge},
}

func (w *workload) addStreams(table *metric.Table, streams int) {
	r := w.r
	var series []metric.Ref
	var next []func() float64
	descs := make([]*metric.Desc, len(streamFamilies))
	for i, f := range streamFamilies {
		descs[i] = &metric.Desc{Name: "flussonic_stream_" + f.name, Help: "Stream " + f.name + ".", Type: f.typ}
	}
	for s := range streams {
		for _, d := range descs {
			series = append(series, table.Intern(metric.LabelsOf(d.Name, "stream", fmt.Sprintf("channel-%03d", s), "server", "main"), d))
		}
		rate, fps := 1e6+r.Float64()*9e6, []float64{25, 30, 50}[s%3]
		clients, delay := math.Floor(r.Float64()*300), 100+r.Float64()*1000
		next = append(next,
			w.counter(rate/8, .04), w.counter(rate/8*20, .04), w.counter(rate/10_000, .03), w.counter(fps, .004), w.rare(40), w.rare(200),
			func() float64 { return math.Floor(rate * (1 + w.noise(.04)) / 1000) },
			func() float64 {
				if r.IntN(3) == 0 {
					clients = max(0, clients+math.Round(w.noise(2)))
				}
				return clients
			},
			func() float64 { return math.Floor(delay * (1 + w.noise(.05))) },
			func() float64 { return math.Round((fps+w.noise(.1))*100) / 100 },
			constant(1), constant(math.Floor(1.79e12+r.Float64()*1e9)))
	}
	w.add("streams", series, next)
}

func (w *workload) addHost(table *metric.Table, n int) {
	const probes = 20
	r := w.r
	for p := range probes {
		var series []metric.Ref
		var next []func() float64
		for i := range n / probes {
			d := &metric.Desc{Name: fmt.Sprintf("node_family_%02d_%02d_total", p, i/4), Help: "Host numbers.", Type: metric.Counter}
			series = append(series, table.Intern(metric.LabelsOf(d.Name, "device", fmt.Sprint("eth", i%4)), d))
			next = append(next, w.hostValue(i, r.Float64()))
		}
		w.add(fmt.Sprint("probe", p), series, next)
	}
}

func (w *workload) hostValue(i int, u float64) func() float64 {
	t := math.Floor(u * 1e9)
	switch i % 10 {
	case 3, 4: // CPU seconds
		return func() float64 { t += math.Round(u * 500 * (1 + w.noise(.1))); return t / 100 }
	case 5, 6:
		return w.counter(u*1e5, .2)
	case 7: // memory
		return func() float64 { t += math.Floor(w.noise(20)); return t * 4096 }
	case 8:
		return w.rare(5)
	case 9: // load average
		return func() float64 { u = max(0, u+w.noise(.3)); return math.Round(u*100) / 100 }
	}
	return constant(t)
}
