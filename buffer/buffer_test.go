package buffer

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/internal/metric"
)

// media are what the suite runs on.
var media = []struct {
	name       string
	disk, tail bool
}{
	{"memory", false, false}, {"disk", true, false}, {"disk and tail", true, true}, {"tail only", false, true},
}

// suite runs a test on every medium.
func suite(t *testing.T, test func(t *testing.T, r *rig)) {
	for _, m := range media {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fsys := newMemFS()
				path, runtime := "", ""
				if m.disk {
					path = "/disk"
				}
				if m.tail {
					runtime = "/run"
				}
				r := newRig(t, fsys, smallConfig(path), runtime)
				defer func() { r.b.Close() }()
				test(t, r)
			})
		})
	}
}

func TestEverySampleComesOnceInOrder(t *testing.T) {
	for _, limit := range []int{1, 7, 10, 64, 100_000} {
		suite(t, func(t *testing.T, r *rig) {
			d := r.b.Reader("a", Options{})
			r.append(30)
			r.commit()
			r.append(20)
			r.wantRounds(r.drain(d, limit), 1, 50)
			r.append(5)
			r.wantRounds(r.drain(d, limit), 51, 55)
			r.accounted("a", 550)
		})
	}
}

func TestNextRemovesNothing(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		d := r.b.Reader("a", Options{})
		r.append(9)
		first := map[sampleKey]float64{}
		r.take(r.tryNext(d, 25), first)
		r.append(9)
		again := map[sampleKey]float64{}
		batch := r.tryNext(d, 1000)
		r.take(batch, again)
		if !sameKeys(first, again) || !batch.Unsure {
			t.Errorf("%d samples at first, %d when asked again; unsure: %v", len(first), len(again), batch.Unsure)
		}
		d.Ack(batch, metric.Outcome{Delivered: batch.Count})
		if rest := r.drain(d, 1000); len(rest) != 180-25 {
			t.Errorf("%d samples after the first 25 of 180", len(rest))
		}
	})
}

func TestRefusedBatchMayBeCutAnew(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		d := r.b.Reader("a", Options{})
		r.append(10)
		d.Fail(r.tryNext(d, 100), false)
		if batch := r.tryNext(d, 30); batch.Count != 30 || batch.Unsure {
			t.Errorf("%d samples, unsure: %v", batch.Count, batch.Unsure)
		}
	})
}

// A batch that is known not to have got through before an orderly stop is like any other after it.
func TestStopKnowsWhatDidNotGetThrough(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		if r.cfg.Path == "" {
			return
		}
		d := r.b.Reader("a", Options{})
		r.append(10)
		d.Fail(r.tryNext(d, 100), false)
		r.b.Close()
		r.open()
		if batch := r.tryNext(r.b.Reader("a", Options{}), 30); batch == nil || batch.Unsure {
			t.Errorf("after a stop the batch is %+v", batch)
		}
	})
}

func TestDestinationsHaveTheirOwnCursors(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		a, b := r.b.Reader("a", Options{}), r.b.Reader("b", Options{})
		r.append(20)
		r.wantRounds(r.drain(a, 50), 1, 20)
		r.append(10)
		r.commit()
		r.wantRounds(r.drain(a, 50), 21, 30)
		r.wantRounds(r.drain(b, 50), 1, 30)
		r.append(2)
		r.b.Retire("b")
		r.wantRounds(r.drain(a, 50), 31, 32)
		if s := r.b.Stats(); s.Rounds != 0 || s.Blocks != 0 && r.cfg.Path == "" { // on disk they are kept for a week
			t.Errorf("%d rounds and %d blocks are kept for nobody", s.Rounds, s.Blocks)
		}
	})
}

// A destination that is taken out of the configuration while it waits, and put back, has lost nothing, though another
// one has all.
func TestDestinationThatIsTakenOutForAMoment(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		if r.cfg.Path == "" {
			t.Skip("memory is kept for nobody")
		}
		other := r.b.Reader("other", Options{})
		r.b.Reader("a", Options{})
		r.append(20)
		r.drain(other, 1000)
		r.b.Retire("a")
		d := r.b.Reader("a", Options{})
		r.append(1)
		r.drain(other, 1000)
		r.wantRounds(r.drain(d, 1000), 1, 21)
	})
}

// However many destinations have been configured before, the present one goes on where it was.
func TestManyRenamedDestinations(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		if r.cfg.Path == "" {
			t.Skip("nothing outlives a restart")
		}
		r.append(1)
		for i := range maxCursors + 10 {
			name := fmt.Sprint("before ", i)
			r.b.Reader(name, Options{})
			r.b.Retire(name)
		}
		d := r.b.Reader("present", Options{})
		r.append(9)
		r.commit()
		r.drain(d, 1000)
		r.append(3)
		if err := r.b.Close(); err != nil {
			t.Fatal(err)
		}
		r.open()
		d = r.b.Reader("present", Options{})
		r.wantRounds(r.drain(d, 1000), 11, 13)
	})
}

func TestFullBufferDropsTheOldest(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		r.feed = newFeed(r.table, 1000)
		r.feed.noisy = true
		d := r.b.Reader("a", Options{})
		held := r.tryNextAfter(d, 1, 500)
		const rounds = 1200
		for range rounds / 100 {
			r.append(100)
			r.commit()
		}
		if bytes := r.b.Stats().Bytes; bytes > int(r.cfg.Memory) {
			t.Errorf("%d bytes in memory", bytes)
		}
		d.Ack(held, metric.Outcome{Delivered: held.Count})
		got := r.drain(d, 40_000)
		r.accounted("a", (rounds+1)*1000)
		s := r.b.Stats().Destinations["a"]
		if s.Dropped["overflow"] == 0 || s.Dropped["damaged"] != 0 || len(got) < 100_000 {
			t.Errorf("%d samples got, dropped %v", len(got), s.Dropped)
		}
		r.wantRounds(got, rounds+2-len(got)/1000, rounds+1)
	})
}

// tryNextAfter appends rounds and takes a batch.
func (r *rig) tryNextAfter(d *Reader, rounds, limit int) *metric.Batch {
	r.append(rounds)
	return r.tryNext(d, limit)
}

func TestMaxAge(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		d := r.b.Reader("a", Options{MaxAge: time.Hour})
		r.append(10)
		r.commit()
		time.Sleep(2 * time.Hour)
		r.feed.startMs = time.Now().UnixMilli()
		r.append(10)
		r.wantRounds(r.drain(d, 1000), 11, 20)
		if n := r.b.Stats().Destinations["a"].Dropped["max_age"]; n != 100 {
			t.Errorf("%d samples dropped for their age", n)
		}
		r.accounted("a", 200)
	})
}

func TestLingerSharesABatch(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		d := r.b.Reader("a", Options{})
		start := time.Now()
		go func() {
			for range 3 {
				r.append(1)
				time.Sleep(2 * time.Second)
			}
		}()
		batch, err := d.Next(context.Background(), metric.Limit{Samples: 1000, Linger: 5 * time.Second})
		if err != nil || batch.Count != 30 || time.Since(start) != 5*time.Second {
			t.Errorf("%v: %d samples after %s", err, batch.Count, time.Since(start))
		}
		d.Ack(batch, metric.Outcome{Delivered: 30})
		time.Sleep(time.Minute)
	})
}

func TestRestamp(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		d := r.b.Reader("a", Options{})
		ref := r.feed.series[:1]
		r.b.Append(metric.Round{TimeMs: 5000, StartMs: 10, Epoch: 7, Unset: true, Series: ref, Values: []float64{1}})
		r.b.Append(metric.Round{TimeMs: 9_000_000, Epoch: 8, Series: ref, Values: []float64{2}})
		r.commit()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := d.Next(ctx, metric.Limit{Samples: 10}); err == nil {
			t.Fatal("a round without a time is handed out")
		}
		r.b.Restamp(metric.Timebase{Boot: 7, Epoch: 8, OriginMs: 3_000_000, ShiftMs: 1_000_000})
		batch, err := d.Next(context.Background(), metric.Limit{Samples: 10})
		if err != nil {
			t.Fatal(err)
		}
		if s := batch.Series[0]; len(s.Points) != 2 || s.Points[0].TimeMs != 3_005_000 || s.Points[1].TimeMs != 10_000_000 || s.StartMs != 3_000_010 {
			t.Errorf("samples %v, start %d", s.Points, s.StartMs)
		}
	})
}

func TestLiveFirst(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		d := r.b.Reader("a", Options{LiveFirst: true})
		got := map[sampleKey]float64{}
		lane := func(l metric.Lane, limit int) *metric.Batch {
			batch, err := d.Next(context.Background(), metric.Limit{Samples: limit, Lane: l})
			if err != nil {
				t.Fatal(err)
			}
			return batch
		}
		r.append(40)
		r.commit()
		r.append(10)
		live := lane(metric.Live, 30)
		r.take(live, got)
		r.wantRounds(got, 48, 50)
		old := lane(metric.Oldest, 100) // both are out at once
		r.take(old, got)
		d.Ack(live, metric.Outcome{Delivered: live.Count})
		r.append(1)
		live = lane(metric.Live, 30)
		r.take(live, got)
		d.Ack(old, metric.Outcome{Delivered: old.Count})
		d.Ack(live, metric.Outcome{Delivered: live.Count})
		for {
			if n, _ := d.Pending(); n == 0 {
				break
			}
			old = lane(metric.Oldest, 100)
			r.take(old, got)
			d.Ack(old, metric.Outcome{Delivered: old.Count})
		}
		r.wantRounds(got, 1, 51)
		r.accounted("a", 510)
	})
}

func TestManyGapsAreMerged(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		d := r.b.Reader("a", Options{LiveFirst: true})
		delivered := 0
		for range 30 {
			r.append(10)
			batch, err := d.Next(context.Background(), metric.Limit{Samples: 20, Lane: metric.Live})
			if err != nil {
				t.Fatal(err)
			}
			delivered += batch.Count
			d.Ack(batch, metric.Outcome{Delivered: batch.Count})
		}
		if n := len(d.gaps); n != maxGaps {
			t.Errorf("%d gaps", n)
		}
		s := r.b.Stats().Destinations["a"]
		if s.Repeated == 0 || delivered+s.Pending != 3000+int(s.Repeated) {
			t.Errorf("%d delivered, %d pending, %d repeated of 3000", delivered, s.Pending, s.Repeated)
		}
	})
}

func TestRestartContinues(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		d := r.b.Reader("a", Options{})
		d.SetNote("remembered")
		r.append(30)
		r.commit()
		r.append(20)
		batch := r.tryNext(d, 123)
		got := map[sampleKey]float64{}
		r.take(batch, got)
		d.Ack(batch, metric.Outcome{Delivered: 123})
		r.b.Close()
		r.open()
		d = r.b.Reader("a", Options{})
		if r.cfg.Path == "" && r.runtime == "" {
			if n, _ := d.Pending(); n != 0 {
				t.Errorf("%d samples from nowhere", n)
			}
			return
		}
		maps.Copy(got, r.drain(d, 50))
		r.wantRounds(got, 1, 50)
		if d.Note() != "remembered" {
			t.Errorf("note %q", d.Note())
		}
		r.append(5)
		r.wantRounds(r.drain(d, 50), 51, 55)
	})
}

func TestKillCostsNothing(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		if r.runtime == "" {
			t.Skip("without a tail it may")
		}
		got := map[sampleKey]float64{}
		for cycle := range 5 {
			d := r.b.Reader("a", Options{})
			r.append(20)
			if cycle%2 == 0 {
				r.commit()
			}
			r.append(7)
			batch := r.tryNext(d, 95)
			r.take(batch, got)
			d.Ack(batch, metric.Outcome{Delivered: batch.Count})
			inFlight := map[sampleKey]float64{}
			r.take(r.tryNext(d, 33), inFlight)
			r.append(3)
			r.b.kill()
			r.open()
			d = r.b.Reader("a", Options{})
			batch = r.tryNext(d, 1000)
			again := map[sampleKey]float64{}
			r.take(batch, again)
			if !batch.Unsure || !sameKeys(again, inFlight) {
				t.Fatalf("cycle %d: the batch in flight had %d samples; after the kill the first has %d; unsure: %v", cycle, len(inFlight), len(again), batch.Unsure)
			}
		}
		maps.Copy(got, r.drain(r.b.Reader("a", Options{}), 77))
		r.wantRounds(got, 1, 150)
	})
}

func TestSeriesKeepTheirMetadata(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		if r.cfg.Path == "" && r.runtime == "" {
			t.Skip("nothing is kept")
		}
		r.b.Reader("a", Options{})
		r.append(5)
		r.b.Close()
		r.table = metric.NewTable()
		r.feed.series = nil
		r.open()
		batch := r.tryNext(r.b.Reader("a", Options{}), 1000)
		for _, s := range batch.Series {
			if d := s.Ref.Desc(); d.Name != s.Ref.Labels.Name() || d.Type != metric.Counter || d.Help != "Feed." {
				t.Errorf("%v is of %+v", s.Ref.Labels, d)
			}
		}
	})
}

func TestRoundsOfAnotherBootAreDropped(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		if r.cfg.Path == "" && r.runtime == "" {
			t.Skip("nothing is kept")
		}
		r.b.Reader("a", Options{})
		ref := r.feed.series[:1]
		r.b.Append(metric.Round{TimeMs: 5000, Epoch: 7, Unset: true, Series: ref, Values: []float64{1}})
		r.b.Close()
		r.open()
		d := r.b.Reader("a", Options{})
		r.b.Restamp(metric.Timebase{Boot: 9 << 16, Epoch: 9<<16 + 2, OriginMs: 1_000_000})
		r.append(1)
		r.wantRounds(r.drain(d, 100), 1, 1)
		if n := r.b.Stats().Destinations["a"].Dropped["clock"]; n != 1 {
			t.Errorf("%d samples dropped for want of a clock", n)
		}
	})
}

func TestUplinkThatWorksWritesNothing(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		if r.cfg.Path == "" {
			t.Skip("there is no disk")
		}
		d := r.b.Reader("a", Options{LateAfter: 20 * time.Second})
		fsys := r.fs.(*memFS)
		before := fsys.writes("/disk")
		for range 100 {
			r.append(1)
			time.Sleep(5 * time.Second)
			r.drain(d, 1000)
		}
		if n := fsys.writes("/disk") - before; n != 0 {
			t.Errorf("%d writes to the disk", n)
		}
		for range 100 { // now nobody takes anything
			r.append(1)
			time.Sleep(5 * time.Second)
		}
		s := r.b.Stats()
		if s.Commits < 13 || s.Commits > 17 {
			t.Errorf("%d commits in 500 s", s.Commits)
		}
		r.wantRounds(r.drain(d, 100), 101, 200)
		time.Sleep(2 * time.Minute)
		before = fsys.writes("/disk")
		time.Sleep(time.Hour)
		if n := fsys.writes("/disk") - before; n != 0 {
			t.Errorf("%d writes to the disk in an idle hour", n)
		}
	})
}

func TestSeriesThatComeAndGo(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		d := r.b.Reader("a", Options{})
		got := 0
		for i := range 300 {
			f := newFeed(r.table, 0)
			for k := range 200 {
				f.series = append(f.series, r.table.Intern(metric.LabelsOf("gone", "n", fmt.Sprint(i, "-", k)), nil))
			}
			r.feed = f
			r.append(2)
			if i%10 == 0 {
				r.commit()
			}
			got += len(r.drain(d, 100_000))
		}
		if got != 300*400 {
			t.Errorf("%d samples of %d", got, 300*400)
		}
		if n := len(r.b.book.series); n > 10_000 {
			t.Errorf("%d series in the book, of which 200 live", n)
		}
	})
}

// sameKeys compares what came, not the values: a stale marker is unlike itself.
func sameKeys(a, b map[sampleKey]float64) bool {
	for k := range a {
		if _, ok := b[k]; !ok {
			return false
		}
	}
	return len(a) == len(b)
}
