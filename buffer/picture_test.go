package buffer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/alecthomas/units"
)

// The picture has each slot with what it holds, and each destination that has not got all at its place.
func TestPicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := modeRig(t, newMemFS(), 8*units.MiB)
		r.b.Reader("late", Options{})
		done := r.b.Reader("done", Options{})
		start := time.Now()
		for range 5 {
			r.append(100)
			r.commit()
			time.Sleep(time.Minute)
		}
		r.drain(done, 40_000)
		p := r.b.Picture()
		if p.Mode != ModeDisk || p.Room != 8 || len(p.Slots) < 2 {
			t.Fatalf("%+v", p)
		}
		if first := p.Slots[0]; first.Oldest.Before(start) || first.Samples == 0 || !first.OnDisk {
			t.Errorf("the oldest slot: %+v", first)
		}
		if !p.Slots[1].Oldest.After(p.Slots[0].Oldest) {
			t.Error("the slots are not in the order of their age")
		}
		if len(p.Cursors) != 1 || p.Cursors[0] != (CursorPicture{"late", 0}) {
			t.Errorf("cursors: %+v", p.Cursors)
		}
		r.b.Close()
	})
}
