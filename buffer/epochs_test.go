package buffer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/internal/metric"
)

const hourMs = 3_600_000

var firstBoot = metric.Epoch(7<<16 + 0x8001)

// stepped is a timebase after steps of so many hours.
func stepped(hours ...int64) metric.Timebase {
	t := metric.NewTimebase(firstBoot, 0, 1_000*hourMs)
	for _, h := range hours {
		t.Follow(0, t.BaseMs+h*hourMs)
	}
	return t
}

// times drains a destination.
func (r *rig) times(d *Reader) (ms []int64) {
	r.t.Helper()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		batch, err := d.Next(ctx, metric.Limit{Samples: 1000})
		cancel()
		if err != nil {
			return ms
		}
		for _, p := range batch.Series[0].Points {
			ms = append(ms, p.TimeMs)
		}
		d.Ack(batch, metric.Outcome{Delivered: batch.Count})
	}
}

func (r *rig) wantTimes(d *Reader, want ...int64) {
	r.t.Helper()
	if got := r.times(d); !slices.Equal(got, want) {
		r.t.Fatalf("times %d, want %d", got, want)
	}
}

// stampedRound is a round that begins at a time by the clock, and so do its counters.
func (r *rig) stampedRound(t metric.Timebase, ms int64) {
	r.b.Append(metric.Round{
		TimeMs: ms - t.ShiftMs, StartMs: ms - t.ShiftMs, Epoch: t.Epoch,
		Series: r.feed.series[:1], Values: []float64{1},
	})
}

// unsetRound is a round of a boot whose clock is not set.
func (r *rig) unsetRound(boot metric.Epoch, ms int64) {
	r.b.Append(metric.Round{TimeMs: ms, Epoch: boot, Unset: true, Series: r.feed.series[:1], Values: []float64{1}})
}

func TestCorrectionsChain(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		d := r.b.Reader("a", Options{})
		var want []int64
		// A round before each step, and one after the last.
		for i, hours := range [][]int64{{}, {24}, {24, -24}, {24, -24, 5}} {
			at := stepped(hours...)
			r.b.Restamp(at)
			r.stampedRound(at, at.BaseMs+int64(i))
			want = append(want, 1_005*hourMs+int64(i))
			if i == 1 {
				r.commit()
			}
		}
		r.wantTimes(d, want...)
	})
}

// A power cut may come at any time: no round is on disk before what is known of its epoch.
func TestRecordGoesToDiskBeforeItsEpoch(t *testing.T) {
	for _, runtime := range []string{"", "/run"} {
		fsys := newMemFS()
		r := newRig(t, fsys, smallConfig("/disk"), runtime)
		r.b.Reader("a", Options{})
		want := stepped()
		fsys.fault = func(op, name string, _ int) error { // fsys is locked
			if op != "write" || !strings.Contains(name, "/slot-") {
				return nil
			}
			known := false
			for _, slot := range slices.Collect(slices.Chunk(fsys.files["/disk/v1/cursors"].synced, recordSlot)) {
				rec, err := parseRecord(slot)
				known = known || err == nil && slices.Contains(rec.epochs, epochOffset{want.Epoch, want.ShiftMs})
			}
			if !known {
				t.Errorf("runtime %q: a round of epoch %x is written before the record", runtime, want.Epoch)
			}
			return nil
		}
		for i := range int64(3) {
			want = stepped([]int64{1, 2}[:min(i, 2)]...)
			r.b.Restamp(want)
			r.stampedRound(want, want.BaseMs+i)
			r.commit()
		}
		fsys.fault = nil
		r.b.Close()
	}
}

// What is corrected after its rounds have got to the disk is there within a commit interval, so that a power cut does
// not cost it.
func TestCorrectionsSurvivePowerCuts(t *testing.T) {
	for _, runtime := range []string{"", "/run"} {
		for _, restart := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				fsys := newMemFS()
				r := newRig(t, fsys, smallConfig("/disk"), runtime)
				late := Options{LateAfter: time.Second}
				r.b.Reader("a", late)
				r.unsetRound(firstBoot, 1)
				r.b.Restamp(stepped())
				r.stampedRound(stepped(), 2)
				time.Sleep(2 * time.Minute)
				r.b.Restamp(stepped(24))
				if restart && runtime != "" { // with a WAL the record on disk is the older one then
					r.b.kill()
					r.open()
					r.b.Reader("a", late)
				}
				time.Sleep(2 * time.Minute)
				r.fs = fsys.crash(rand.New(rand.NewPCG(1, 1)))
				r.b.kill()
				r.open()
				defer r.b.Close()
				r.b.Restamp(metric.NewTimebase(8<<16+1, 0, 0)) // another boot
				d := r.b.Reader("a", Options{})
				r.wantTimes(d, 1+1_024*hourMs, 2+24*hourMs)
			})
		}
	}
}

// Nothing is written to disk for the clock's sake while the disk holds nothing that waits.
func TestStepsWriteNothingInGoodTimes(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		if r.cfg.Path == "" {
			t.Skip("there is no disk")
		}
		d := r.b.Reader("a", Options{LateAfter: 20 * time.Second})
		fsys := r.fs.(*memFS)
		before := fsys.writes("/disk")
		for i := range int64(100) {
			at := stepped(i)
			r.b.Restamp(at)
			r.stampedRound(at, at.BaseMs)
			time.Sleep(5 * time.Second)
			r.times(d)
		}
		if n := fsys.writes("/disk") - before; n != 0 {
			t.Errorf("%d writes to the disk", n)
		}
	})
}

// Boots before this one are remembered for as long as rounds of theirs wait, and no longer.
func TestEpochsOfBootsThatAreGone(t *testing.T) {
	r := newRig(t, newMemFS(), smallConfig("/disk"), "")
	var want []int64
	for i := range int64(100) {
		boot := metric.Epoch(i+1)<<16 + 1
		at := metric.NewTimebase(boot, 0, 1_000*hourMs*(i+1))
		r.b.Reader("a", Options{})
		r.unsetRound(boot, i)
		r.b.Restamp(at)
		want = append(want, at.OriginMs+i)
		r.b.Close()
		r.open()
	}
	last := metric.NewTimebase(1<<32+1, 0, 0)
	r.b.Restamp(last)
	if n := len(r.b.epochs); n != 2*100+4 {
		t.Errorf("%d corrections are known of 100 boots", n)
	}
	r.wantTimes(r.b.Reader("a", Options{}), want...)
	last.Follow(0, hourMs)
	r.b.Restamp(last)
	if n := len(r.b.epochs); n != 5 {
		t.Errorf("%d corrections are known after all is delivered: %v", n, r.b.epochs)
	}
	r.b.Close()
}

func TestEpochsAreBounded(t *testing.T) {
	r := newRig(t, newMemFS(), smallConfig("/disk"), "")
	r.b.Reader("a", Options{})
	r.append(1)
	r.b.Close()
	for i := range 400 {
		r.open()
		r.b.Restamp(metric.NewTimebase(metric.Epoch(i+1)<<16+1, 0, 1))
		if i%100 > 0 { // a kill costs nothing that matters here, and is quicker
			r.b.commit(true)
			r.b.kill()
		} else {
			r.b.Close()
		}
	}
	r.open()
	if n := len(r.b.epochs); n > maxEpochs {
		t.Errorf("%d corrections are kept", n)
	}
	r.b.Close()
}

// A directory comes to light that an earlier agent of this boot has written, and its clock was another one.
func TestEpochsThatComeToLightLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newMemFS()
		r := newRig(t, fsys, smallConfig("/disk"), "")
		r.b.Reader("a", Options{})
		early := stepped(24)
		r.b.Restamp(stepped())
		r.stampedRound(stepped(), 1)
		r.b.Restamp(early)
		r.stampedRound(early, 24*hourMs+2)
		r.b.Close()

		gone := true
		fsys.fault = func(_, name string, _ int) error {
			if gone && strings.HasPrefix(name, "/disk") {
				return fmt.Errorf("no such device")
			}
			return nil
		}
		r.open()
		d := r.b.Reader("a", Options{})
		later := metric.NewTimebase(firstBoot, time.Hour, 990*hourMs)
		r.b.Restamp(later)
		r.stampedRound(later, -10*hourMs+3)
		gone = false
		time.Sleep(2 * retryAfter)
		later.Follow(0, 995*hourMs)
		r.b.Restamp(later)
		r.wantTimes(d, -5*hourMs+1, -5*hourMs+2, -5*hourMs+3)
		r.b.Close()
	})
}

func TestBatchIsOutdatedByAStep(t *testing.T) {
	suite(t, func(t *testing.T, r *rig) {
		d := r.b.Reader("a", Options{})
		at := stepped()
		r.b.Restamp(at)
		r.stampedRound(at, 5)
		outdated := func(b *metric.Batch) bool {
			select {
			case <-b.Outdated:
				return true
			default:
				return false
			}
		}
		batch := r.tryNext(d, 10)
		at.Follow(0, at.BaseMs+1)
		r.b.Restamp(at)
		if outdated(batch) {
			t.Error("a small step makes a batch outdated")
		}
		r.b.Restamp(stepped(24))
		if !outdated(batch) {
			t.Error("a step does not make a batch outdated")
		}
		d.Fail(batch, false)
		batch = r.tryNext(d, 10)
		s, want := batch.Series[0], 5+24*int64(hourMs)
		if outdated(batch) || s.Points[0].TimeMs != want || s.StartMs != want {
			t.Errorf("read again: %+v", batch)
		}
	})
}
