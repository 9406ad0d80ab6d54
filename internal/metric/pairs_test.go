package metric

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// Series that stay read the same while others come and go, and the numbers of those are given again.
func TestPairsAreForgotten(t *testing.T) {
	table := NewTable()
	type held struct {
		ref  Ref
		want Labels
	}
	var stay []held
	for run := range 40 {
		for i := range 500 {
			for _, name := range []string{"a_total", "b_total"} {
				table.Intern(LabelsOf(name, "run", fmt.Sprint(run), "stream", fmt.Sprintf("s%d-%d", run, i)), nil)
			}
		}
		for _, name := range []string{"c", "d"} {
			l := LabelsOf(name, "run", fmt.Sprint(run), "stream", fmt.Sprintf("s%d-7", run))
			stay = append(stay, held{table.Intern(l, nil), l})
		}
		runtime.GC()
	}
	for _, h := range stay {
		if got := h.ref.Labels.Packed(); got != h.want {
			t.Fatalf("%s has become %s", h.want, got)
		}
		if table.Intern(h.want, nil) != h.ref {
			t.Fatalf("%s is interned anew", h.want)
		}
	}
	if p := table.pairs; p.next > 3*firstSweep || len(p.numbers) > 3*firstSweep {
		t.Errorf("%d numbers were given, %d are kept", p.next, len(p.numbers))
	}
}

func TestPairsMayBeReadWhileOthersAreMade(t *testing.T) {
	table := NewTable()
	var work sync.WaitGroup
	for w := range 4 {
		work.Go(func() {
			for i := range 3000 {
				l := LabelsOf("m", "worker", fmt.Sprint(w), "own", fmt.Sprint(w, i/2), "common", fmt.Sprint(i%10))
				if got := table.Intern(l, nil).Labels.Packed(); got != l {
					t.Errorf("%s reads as %s", l, got)
				}
			}
		})
	}
	work.Wait()
}

func TestAFullDictionarySpellsOut(t *testing.T) {
	table := NewTable()
	table.pairs.next = pageLength * maxPages
	for range 3 {
		for _, name := range []string{"a", "b"} {
			l := LabelsOf(name, "x", "y")
			if got := table.Intern(l, nil).Labels.Packed(); got != l {
				t.Errorf("%s reads as %s", l, got)
			}
		}
	}
	if len(table.pairs.numbers) > 0 {
		t.Error("more numbers than there is room for")
	}
}

// Two sets of one hash are two series.
func TestSeriesOfOneHash(t *testing.T) {
	table := NewTable()
	a, b := LabelsOf("a", "x", "y"), LabelsOf("b", "x", "y")
	first := table.Intern(a, nil)
	table.series[table.hash(b)] = table.series[table.hash(a)]
	if second := table.Intern(b, nil); second == first || second.Labels.Packed() != b {
		t.Errorf("%s stands for %s", second.Labels, b)
	}
	if table.Intern(a, nil) != first {
		t.Error("the first one is no longer found")
	}
}

func FuzzIntern(f *testing.F) {
	f.Add("m", "a", "b", "c", "d")
	f.Add("", "a", "", "a", "\xff")
	table := NewTable()
	f.Fuzz(func(t *testing.T, name, n1, v1, n2, v2 string) {
		if n1 == "" || n2 == "" {
			return
		}
		l := LabelsOf(name, n1, v1, n2, v2)
		for range 3 { // spelled out, then by number
			r := table.Intern(l, nil)
			other := table.Intern(LabelsOf(name, n1, v1), nil)
			if got := r.Labels.Packed(); got != l || r.Labels.String() != l.String() || r.Labels.Get(n1) != l.Get(n1) {
				t.Fatalf("%q reads as %q", l, got)
			}
			c := r.Labels.Compare(&other.Labels)
			if back := other.Labels.Compare(&r.Labels); (c == 0) != (r == other) || (c < 0) != (back > 0) {
				t.Errorf("%s and %s compare as %d and %d", r.Labels, other.Labels, c, back)
			}
			runtime.KeepAlive(r)
		}
	})
}
