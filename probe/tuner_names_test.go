package probe

import (
	"sync"
	"testing"
)

func TestTunerNames(t *testing.T) {
	var n TunerNames
	first, second := Tuner{0, 0}, Tuner{12, 1}
	want := func(a, b string) {
		t.Helper()
		if x, y := n.Name(first), n.Name(second); x != a || y != b {
			t.Errorf("%q and %q, not %q and %q", x, y, a, b)
		}
	}
	want("", "")
	n.Replace("right", map[Tuner]string{first: "r0", second: "r12"})
	want("r0", "r12")
	n.Replace("left", map[Tuner]string{first: "l0"}) // another server erases nothing, and the one that comes first wins
	want("l0", "r12")
	n.Replace("left", map[Tuner]string{first: ""})
	want("r0", "r12")
	n.Replace("right", nil)
	want("", "")
	if len(n.Of("nobody")) != 0 || len(n.Of("left")) != 1 {
		t.Errorf("%v, %v", n.Of("nobody"), n.Of("left"))
	}
}

// Servers' probes and the DVB probe run at the same time.
func TestTunerNamesAtTheSameTime(t *testing.T) {
	var n TunerNames
	var all sync.WaitGroup
	for _, server := range []string{"left", "right"} {
		all.Go(func() {
			for range 100 {
				n.Replace(server, map[Tuner]string{{}: server})
				if name := n.Name(Tuner{}); name != "left" && name != "right" {
					t.Errorf("%q", name)
				}
			}
		})
	}
	all.Wait()
}
