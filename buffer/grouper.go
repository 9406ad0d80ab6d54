package buffer

import (
	"slices"

	"headend-agent/internal/metric"
)

// grouper turns rounds into samples by series: first it notes the samples as they come, then it lays all of a series side by
// side. Its memory is used again.
type grouper struct {
	book   uint32  // which the numbers are of,
	others bool    // and there were others before
	places []int32 // by number of the series: 1 + its place in series
	byRef  map[metric.Ref]int32
	series []metric.Samples
	ids    []uint32 // of series
	counts []int32

	// For each sample, in the order of their coming.
	slots []int32
	flat  []float64
	ends  []roundEnd

	points []metric.Point
}

// roundEnd tells that the samples up to a place are of one time.
type roundEnd struct {
	timeMs int64
	place  int
}

// reset forgets all. About so many samples are to come.
func (g *grouper) reset(samples int) {
	g.slots, g.flat = slices.Grow(g.slots[:0], samples), slices.Grow(g.flat[:0], samples)
	g.forget()
	g.book, g.others = 0, false
	clear(g.byRef)
	clear(g.series)
	g.series, g.counts, g.ends = g.series[:0], g.counts[:0], g.ends[:0]
}

func (g *grouper) forget() {
	for _, id := range g.ids {
		g.places[id] = 0
	}
	g.ids = g.ids[:0]
}

// turn goes over to another book. From then on series are known by more than their number.
func (g *grouper) turn(k *book) {
	g.book = k.id
	if len(g.series) == 0 {
		return
	}
	g.forget()
	g.others = true
	if g.byRef == nil {
		g.byRef = map[metric.Ref]int32{}
	}
	for i := range g.series {
		g.byRef[g.series[i].Ref] = int32(i + 1)
	}
}

// add takes samples of the series with the numbers ids in k.
func (g *grouper) add(k *book, ids []uint32, values []float64, timeMs, startMs int64) {
	if k.id != g.book {
		g.turn(k)
	}
	g.places = extendTo(g.places, len(k.series))
	if n := min(len(k.series), cap(g.slots)); cap(g.series) < n {
		g.series, g.ids, g.counts = slices.Grow(g.series, n-len(g.series)), slices.Grow(g.ids, n-len(g.ids)), slices.Grow(g.counts, n-len(g.counts))
	}
	for _, id := range ids {
		place := g.places[id]
		if place == 0 {
			place = g.enter(k.series[id], startMs)
			g.ids = append(g.ids, id)
			g.places[id] = place
		}
		g.counts[place-1]++
		g.slots = append(g.slots, place-1)
	}
	g.flat = append(g.flat, values...)
	g.ends = append(g.ends, roundEnd{timeMs, len(g.slots)})
}

// enter returns the place of a series whose number is new.
func (g *grouper) enter(r metric.Ref, startMs int64) int32 {
	if g.others {
		if place := g.byRef[r]; place != 0 {
			return place
		}
	}
	g.series, g.counts = append(g.series, metric.Samples{Ref: r, StartMs: startMs}), append(g.counts, 0)
	place := int32(len(g.series))
	if g.others {
		g.byRef[r] = place
	}
	return place
}

func (g *grouper) finish(b *metric.Batch) {
	total := len(g.slots)
	g.points = grow(g.points, total)
	from := 0
	for i, n := range g.counts {
		to := from + int(n)
		g.series[i].Points = g.points[from:from:to]
		from = to
	}
	k := 0
	for _, r := range g.ends {
		for ; k < r.place; k++ {
			s := &g.series[g.slots[k]]
			s.Points = append(s.Points, metric.Point{TimeMs: r.timeMs, Value: g.flat[k]})
		}
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
