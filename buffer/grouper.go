package buffer

import "headend-agent/internal/metric"

// grouper turns rounds into samples by series: first it notes the pieces, then it lays all samples of a series side by side.
// Its memory is used again.
type grouper struct {
	pieces []piece
	index  map[metric.Ref]int32
	series []metric.Samples
	counts []int32
	slots  []int32 // for each sample of each piece, its series
	times  []int64
	values []float64
}

type piece struct {
	series []metric.Ref
	values []float64
	timeMs int64
	slots  []int32
}

func (g *grouper) reset() {
	clear(g.index)
	clear(g.pieces) // they hold on to rounds
	clear(g.series)
	g.pieces, g.series, g.counts, g.slots = g.pieces[:0], g.series[:0], g.counts[:0], g.slots[:0]
}

func (g *grouper) add(series []metric.Ref, values []float64, timeMs, startMs int64) {
	if g.index == nil {
		g.index = map[metric.Ref]int32{}
	}
	from := len(g.slots)
	for _, ref := range series {
		i, ok := g.index[ref]
		if !ok {
			i = int32(len(g.series))
			g.index[ref] = i
			g.series = append(g.series, metric.Samples{Ref: ref, StartMs: startMs})
			g.counts = append(g.counts, 0)
		}
		g.counts[i]++
		g.slots = append(g.slots, i)
	}
	g.pieces = append(g.pieces, piece{series, values, timeMs, g.slots[from:len(g.slots):len(g.slots)]})
}

func (g *grouper) finish(b *metric.Batch) {
	total := len(g.slots)
	g.times, g.values = grow(g.times, total), grow(g.values, total)
	from := 0
	for i, n := range g.counts {
		to := from + int(n)
		g.series[i].TimesMs, g.series[i].Values = g.times[from:from:to], g.values[from:from:to]
		from = to
	}
	for _, p := range g.pieces {
		for k, i := range p.slots {
			s := &g.series[i]
			s.TimesMs = append(s.TimesMs, p.timeMs)
			s.Values = append(s.Values, p.values[k])
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
