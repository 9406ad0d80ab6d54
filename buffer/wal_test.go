package buffer

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"headend-agent/internal/metric"
)

// churn replaces the feed's series by n new ones.
func (r *rig) churn(n int) {
	r.feed.series = nil
	for range n {
		r.feed.names++
		d := &metric.Desc{Name: "churn_total", Help: "Churn.", Type: metric.Counter}
		r.feed.series = append(r.feed.series, r.table.Intern(metric.LabelsOf(d.Name, "n", fmt.Sprint(r.feed.names)), d))
	}
}

// rotations returns how many dictionaries the buffer has begun since it was opened.
func (r *rig) rotations(first uint32) int { return int(r.b.book.id - first) }

// TestChurnRotatesTheDictionary lets series come and go until the dictionary rotates: while everything is acknowledged between,
// while all is pending, and by turns. After a kill every pending sample comes back, under its name.
func TestChurnRotatesTheDictionary(t *testing.T) {
	for _, every := range []int{1, 2, 7, 1 << 20} { // rounds from one acknowledgement to the next
		t.Run(fmt.Sprint(every), func(t *testing.T) {
			r := newRig(t, newMemFS(), smallConfig(""), "/run")
			d := r.b.Reader("a", Options{})
			first := r.b.book.id
			for i := 1; r.rotations(first) < 4; i++ {
				r.churn(150)
				r.append(1)
				if i%every == 0 {
					r.drain(d, 10_000)
				}
			}
			r.churn(20)
			r.append(3)
			want := r.kept("a")
			r.b.kill()
			r.open()
			got := r.drain(r.b.Reader("a", Options{}), 10_000)
			if !sameKeys(want, got) || len(want) == 0 {
				t.Fatalf("%d samples were pending, %d have come back", len(want), len(got))
			}
			r.b.Close()
		})
	}
}

// kept returns what waits for a destination. It takes nothing away.
func (r *rig) kept(destination string) map[sampleKey]float64 {
	r.t.Helper()
	d := r.b.Reader(destination, Options{})
	look := &Reader{b: r.b, name: "look", live: d.live, gaps: d.gaps, stats: Ledger{Dropped: map[string]uint64{}}}
	for i := range look.lanes {
		look.lanes[i].reader = look
	}
	n, _ := look.Pending()
	got := r.drain(look, 1000)
	if len(got) != n {
		r.t.Fatalf("%d samples are pending, of which %d are handed out; dropped %v", n, len(got), look.stats.Dropped)
	}
	return got
}

// TestWALAtRandom appends rounds of changing series, acknowledges, rotates, commits and kills at random. What is recovered after each
// kill is what was pending before it.
func TestWALAtRandom(t *testing.T) {
	for trial := range trials(t, 150) {
		rnd := rand.New(rand.NewPCG(uint64(trial), 12))
		fsys, path := newMemFS(), ""
		if rnd.IntN(2) == 0 {
			path = "/disk"
		}
		r := newRig(t, fsys, smallConfig(path), "/run")
		d := r.b.Reader("a", Options{})
		for range 4 {
			for range 2 + rnd.IntN(25) {
				switch rnd.IntN(8) {
				case 0:
					r.drain(d, 1+rnd.IntN(500))
				case 1:
					if batch := r.tryNext(d, 1+rnd.IntN(300)); batch != nil {
						d.Ack(batch, metric.Outcome{Delivered: batch.Count})
					}
				case 2:
					r.commit()
				case 3: // as where most of the dictionary is of series that are gone
					r.b.mu.Lock()
					r.b.rotate(r.b.book.id + 1)
					r.b.mu.Unlock()
				case 4:
					r.churn(1 + rnd.IntN(40))
				default:
					r.append(1 + rnd.IntN(6))
				}
			}
			want := r.kept("a")
			r.b.kill()
			r.open()
			if got := r.kept("a"); !sameKeys(want, got) {
				t.Fatalf("trial %d: %d samples were pending, %d have come back", trial, len(want), len(got))
			}
			d = r.b.Reader("a", Options{})
		}
		r.drain(d, 1000)
		if n := r.b.Stats().Damaged; n > 0 {
			t.Fatalf("trial %d: %d pieces damaged", trial, n)
		}
		r.b.Close()
	}
}
