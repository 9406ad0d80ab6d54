package buffer

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"headend-agent/internal/metric"
)

// The range of a batch that failed is read again, where the reader has gone on in the chain of blocks meanwhile.
func TestBlockBeforeThePositionIsDecodedAgain(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		d := r.b.Reader("a", Options{})
		r.append(10)
		r.seal()
		r.append(10)
		r.seal()
		r.append(3)
		d.Fail(r.tryNext(d, 1000), false)
		batch := r.tryNext(d, 1000)
		if batch.Count != 230 {
			t.Fatalf("read again, the batch has %d samples of 230", batch.Count)
		}
		d.Ack(batch, metric.Outcome{Delivered: batch.Count})
		r.accounted("a", 230)
		r.wantNothingDamaged("a")
	})
}

// seal turns what is hot into a block, as a commit does.
func (r *rig) seal() {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	r.b.seal()
}

func (r *rig) wantNothingDamaged(name string) {
	r.t.Helper()
	s := r.b.Stats()
	if s.Damaged != 0 || s.Destinations[name].Dropped["damaged"] != 0 {
		r.t.Fatalf("%d pieces damaged; dropped %v", s.Damaged, s.Destinations[name].Dropped)
	}
}

// content is a batch as it goes over the wire: every sample, in an order of its own.
func content(batch *metric.Batch) map[sampleKey]float64 {
	got := map[sampleKey]float64{}
	for _, s := range batch.Series {
		for _, p := range s.Points {
			got[key(s.Ref, p.TimeMs)] = p.Value
		}
	}
	return got
}

// A batch whose answer was lost is handed out again with the same bounds: with another limit, with newer rounds, after a reload,
// after a restart, and under another order.
func TestIndeterminateBatchKeepsItsBounds(t *testing.T) {
	for _, limit := range []int{1, 30, 95, 1000} {
		for _, again := range []string{"", "reload", "restart", "kill"} {
			t.Run(strconv.Itoa(limit)+again, func(t *testing.T) {
				suite(t, func(t *testing.T, r *rig) {
					if (r.cfg.Path == "" || again == "kill") && r.runtime == "" && again != "" && again != "reload" {
						t.Skip("nothing is kept")
					}
					d := r.b.Reader("a", Options{})
					r.append(8)
					r.commit()
					r.append(4)
					first := r.tryNext(d, 95)
					was := content(first)
					d.Fail(first, true)
					r.append(5)
					r.commit()
					switch again {
					case "reload":
						d = r.b.Reader("a", Options{})
					case "restart":
						r.b.Close()
						r.open()
						d = r.b.Reader("a", Options{})
					case "kill":
						r.b.kill()
						r.open()
						d = r.b.Reader("a", Options{})
					}
					batch := r.tryNext(d, limit)
					if !batch.Unsure || !sameKeys(was, content(batch)) {
						t.Fatalf("the batch had %d samples; read again it has %d; unsure: %v", len(was), batch.Count, batch.Unsure)
					}
					d.Ack(batch, metric.Outcome{Delivered: batch.Count})
					r.wantRounds(mapsUnion(was, r.drain(d, 1000)), 1, 17)
					r.wantNothingDamaged("a")
				})
			})
		}
	}
}

func mapsUnion(a, b map[sampleKey]float64) map[sampleKey]float64 {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// TestReadAgainAtRandom appends, commits, fails, reloads, kills and restarts at random, under both orders. What was handed out and
// has no answer is handed out again as it was; in the end every sample has come.
func TestReadAgainAtRandom(t *testing.T) {
	for trial := range trials(t, 60) {
		suite(t, func(t *testing.T, r *rig) {
			rnd := rand.New(rand.NewPCG(uint64(trial), 11))
			o := Options{LiveFirst: rnd.IntN(2) == 0}
			d := r.b.Reader("a", o)
			acked := map[sampleKey]float64{}
			lost := []map[sampleKey]float64{} // batches whose answer was lost
			appended, kept := 0, r.runtime != ""
			for range 30 {
				switch rnd.IntN(9) {
				case 0:
					r.commit()
				case 1:
					d = r.b.Reader("a", o)
				case 2:
					if r.cfg.Path != "" || kept {
						r.b.Close()
						r.open()
						d = r.b.Reader("a", o)
					}
				case 3:
					if kept {
						r.b.kill()
						r.open()
						d = r.b.Reader("a", o)
					}
				case 4, 5, 6:
					kind := metric.Oldest
					if o.LiveFirst && rnd.IntN(2) == 0 {
						kind = metric.Live
					}
					ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
					batch, err := d.Next(ctx, metric.Limit{Samples: 1 + rnd.IntN(150), Lane: kind})
					cancel()
					if err != nil {
						break
					}
					got := content(batch)
					for i, was := range lost {
						if !meets(was, got) {
							continue
						}
						if !batch.Unsure || !sameKeys(was, got) {
							t.Fatalf("trial %d: a batch of %d samples without an answer comes again as one of %d; unsure: %v", trial, len(was), len(got), batch.Unsure)
						}
						lost = slices.Delete(lost, i, i+1)
						break
					}
					switch rnd.IntN(3) {
					case 0:
						d.Fail(batch, true)
						lost = append(lost, got)
					case 1:
						d.Fail(batch, false)
					default:
						for k := range got {
							if _, twice := acked[k]; twice {
								t.Fatalf("trial %d: %v is delivered twice", trial, k)
							}
						}
						maps.Copy(acked, got)
						d.Ack(batch, metric.Outcome{Delivered: batch.Count})
					}
				default:
					n := 1 + rnd.IntN(12)
					r.append(n)
					appended += n
				}
			}
			maps.Copy(acked, r.drain(r.b.Reader("a", Options{}), 1000)) // both lanes' rest by one
			r.wantRounds(acked, 1, appended)
			r.wantNothingDamaged("a")
		})
	}
}

func meets(a, b map[sampleKey]float64) bool {
	for k := range a {
		if _, ok := b[k]; ok {
			return true
		}
	}
	return false
}
