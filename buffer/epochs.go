package buffer

import (
	"slices"
	"time"

	"headend-agent/internal/metric"
)

// Timebase returns what is known of a boot. With Restamp it is what probe.Clock asks for.
func (b *Buffer) Timebase(boot metric.Epoch) (metric.Timebase, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return timebaseIn(b.epochs, boot)
}

// timebaseIn finds in a record what is known of a boot.
func timebaseIn(known []epochOffset, boot metric.Epoch) (metric.Timebase, bool) {
	t := metric.Timebase{Boot: boot}
	found := 0
	for _, o := range known {
		switch {
		case o.epoch == boot:
			t.OriginMs = o.offset
			found++
		case o.epoch == boot.OfBase():
			t.BaseMs = o.offset
			found++
		case o.epoch == boot.OfFloor():
			t.FloorMs = o.offset
		case o.stamps(boot):
			t.Epoch, t.ShiftMs = o.epoch, o.offset
			t.Epochs++
		}
	}
	return t, found == 2 && t.Epochs > 0
}

// stamps tells whether rounds of this epoch bear times by the wall clock of a boot.
func (o epochOffset) stamps(boot metric.Epoch) bool {
	return o.epoch.SameBoot(boot) && !o.epoch.Unset() && o.epoch != boot.OfBase() && o.epoch != boot.OfFloor()
}

// Restamp tells what is known of the clock of this boot. Rounds that no receiver can have yet are handed out with
// times by it from now on. Like Append it never blocks on a disk: what a power cut must not cost is written by the
// next commit.
func (b *Buffer) Restamp(t metric.Timebase) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.boot = t.Boot
	before := slices.Clone(b.epochs)
	stepMs := int64(0)
	if i := b.epoch(t.Boot); i >= 0 {
		stepMs = t.OriginMs - b.epochs[i].offset
	}
	if max(stepMs, -stepMs) <= metric.SmallStep.Milliseconds() { // the clock does not know what came to light late
		stepMs = 0
	}
	for i := range b.epochs {
		if b.epochs[i].stamps(t.Boot) {
			b.epochs[i].offset += stepMs
		}
	}
	b.correct(t.Boot, t.OriginMs)
	b.correct(t.Boot.OfBase(), t.BaseMs)
	b.correct(t.Boot.OfFloor(), t.FloorMs)
	b.correct(t.Epoch, t.ShiftMs)
	b.forgetEpochs()
	if slices.Equal(before, b.epochs) {
		return
	}
	b.stamps++
	if stepMs != 0 {
		b.log.Info("buffer: the clock was stepped; the times of what is not sent are corrected",
			"by", time.Duration(stepMs)*time.Millisecond)
		close(b.outdated)
		b.outdated = make(chan struct{})
	}
	if b.tail != nil {
		b.noteRecord()
	}
	b.signal()
}

func (b *Buffer) epoch(e metric.Epoch) int {
	return slices.IndexFunc(b.epochs, func(o epochOffset) bool { return o.epoch == e })
}

func (b *Buffer) correct(e metric.Epoch, offset int64) {
	if i := b.epoch(e); i >= 0 {
		b.epochs[i].offset = offset
		return
	}
	b.epochs = append(b.epochs, epochOffset{e, offset})
}

// forgetEpochs drops what was known of boots before this one: their clock at once, the corrections when the rounds
// that they have left are gone, and the oldest of them where they are too many.
func (b *Buffer) forgetEpochs() {
	gone := b.first() >= b.restored && (b.disk.ring != nil || b.cfg.Path == "")
	b.epochs = slices.DeleteFunc(b.epochs, func(o epochOffset) bool {
		return !o.epoch.SameBoot(b.boot) && (gone || o.epoch == o.epoch.OfBase() || o.epoch == o.epoch.OfFloor())
	})
	for len(b.epochs) > maxEpochs {
		i := slices.IndexFunc(b.epochs, func(o epochOffset) bool { return !o.epoch.SameBoot(b.boot) })
		if i < 0 {
			return
		}
		b.epochs = slices.Delete(b.epochs, i, i+1)
	}
}

// adoptEpochs takes in what the record of a directory knows that has come to light late. If an agent has run before
// in this boot, it did not know of what came after.
func (b *Buffer) adoptEpochs(late []epochOffset) {
	stepMs := int64(0)
	if t, ok := timebaseIn(late, b.boot); ok {
		if now, ok := timebaseIn(b.epochs, b.boot); ok {
			stepMs = t.Follow(0, now.BaseMs)
		}
	}
	var all []epochOffset
	for _, o := range late {
		if b.epoch(o.epoch) >= 0 {
			continue
		}
		if o.stamps(b.boot) {
			o.offset += stepMs
		}
		all = append(all, o)
	}
	b.epochs = append(all, b.epochs...)
	b.stamps++
}

// stampKind says what is known of a round's time.
type stampKind uint8

const (
	stamped stampKind = iota
	stampLater
	stampNever // the boot that could have told is gone
)

// offsetIn returns what to add to the times of a round. boot is the epoch of this boot's rounds that are not stamped,
// or 0.
func offsetIn(known []epochOffset, boot, e metric.Epoch, unset bool) (int64, stampKind) {
	for _, o := range known {
		if o.epoch == e {
			return o.offset, stamped
		}
	}
	switch {
	case !unset && e != 0:
		// Where the record of it was lost, what came after the loss is known by the epoch that was the next.
		i := slices.IndexFunc(known, func(o epochOffset) bool { return o.stamps(e) })
		if i >= 0 {
			return known[i].offset, stamped
		}
		return 0, stamped
	case !unset:
		return 0, stamped
	case boot == 0 || boot == e:
		return 0, stampLater
	}
	return 0, stampNever
}
