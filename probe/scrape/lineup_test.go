package scrape

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"headend-agent/internal/metric"
)

// Whatever becomes of the order, a series is new only where the run before lacked it, and has its own labels.
func TestOrderOfSeriesMayChange(t *testing.T) {
	r := newRelay(rules{}, &lines{size: chunkSize})
	out := metric.NewSet(metric.NewTable(), 10_000)
	all := make([]int, 3000)
	for i := range all {
		all[i] = i
	}
	shuffled := slices.Clone(all)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	without := slices.Concat(all[:500], all[1700:2999])
	for _, c := range []struct {
		name   string
		series []int
		added  int
	}{
		{"first", all, 3000},
		{"the same", all, 0},
		{"backwards", backwards, 0},
		{"shuffled", shuffled, 0},
		{"in order again", all, 0},
		{"some went", without, 0},
		{"and came back", all, 1201},
		{"one twice", slices.Concat(all[:10], all[9:]), 0},
		{"new ones in the midst", slices.Concat(all[:100], []int{5000, 5001, 5002}, all[100:]), 3},
		{"none", nil, 0},
		{"all again", all, 3000},
	} {
		var b strings.Builder
		for _, i := range c.series {
			fmt.Fprintf(&b, "a{n=\"%d\"} %d\n", i, i)
		}
		out.Reset()
		n, err := r.read(strings.NewReader(b.String()), textType, out)
		if err != nil || n.added != c.added || n.scraped != len(c.series) {
			t.Fatalf("%s: %+v, %v; want %d added of %d", c.name, n, err, c.added, len(c.series))
		}
		out.End(metric.Round{}, func(round metric.Round) {
			for i, ref := range round.Series {
				if v := round.Values[i]; v == v && ref.Labels.Get("n") != fmt.Sprint(v) { // not the end of one that went
					t.Fatalf("%s: %s has %v", c.name, ref.Labels, v)
				}
			}
		})
	}
}
