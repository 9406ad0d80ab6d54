package buffer

import "headend-agent/internal/metric"

// grouper turns rounds into samples by series: first it notes the samples as they come, then it lays all of a series side by
// side. Its memory is used again.
type grouper struct {
	places []int32 // by number of the series in the book: 1 + its place in series
	series []metric.Samples
	ids    []uint32 // of series
	counts []int32

	// For each sample, in the order of their coming.
	slots []int32
	times []int64
	flat  []float64

	sortedTimes []int64
	values      []float64
}

func (g *grouper) reset() {
	for _, id := range g.ids {
		g.places[id] = 0
	}
	clear(g.series)
	g.series, g.ids, g.counts, g.slots, g.times, g.flat = g.series[:0], g.ids[:0], g.counts[:0], g.slots[:0], g.times[:0], g.flat[:0]
}

// add takes samples of the series with the numbers ids in k. Between two resets all are of one book.
func (g *grouper) add(k *book, ids []uint32, values []float64, timeMs, startMs int64) {
	g.places = extendTo(g.places, len(k.series))
	for _, id := range ids {
		place := g.places[id]
		if place == 0 {
			g.series = append(g.series, metric.Samples{Ref: k.series[id], StartMs: startMs})
			g.ids, g.counts = append(g.ids, id), append(g.counts, 0)
			place = int32(len(g.series))
			g.places[id] = place
		}
		g.counts[place-1]++
		g.slots = append(g.slots, place-1)
		g.times = append(g.times, timeMs)
	}
	g.flat = append(g.flat, values...)
}

func (g *grouper) finish(b *metric.Batch) {
	total := len(g.slots)
	g.sortedTimes, g.values = grow(g.sortedTimes, total), grow(g.values, total)
	from := 0
	for i, n := range g.counts {
		to := from + int(n)
		g.series[i].TimesMs, g.series[i].Values = g.sortedTimes[from:from:to], g.values[from:from:to]
		from = to
	}
	for k, i := range g.slots {
		s := &g.series[i]
		s.TimesMs, s.Values = append(s.TimesMs, g.times[k]), append(s.Values, g.flat[k])
	}
	b.Series, b.Count = g.series, total
}

// grow returns s with length n; its contents do not matter.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
