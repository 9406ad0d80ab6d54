package buffer

import (
	"errors"
	"fmt"
	"time"
)

// diskState is what the buffer knows about its directory.
type diskState struct {
	ring  *ring // nil: not even readable. Where the mode is not memory, it is open for writing
	mode  Mode
	full  bool // no more slots can be made
	bad   int  // slots that failed
	opens int  // attempts in a row to open the directory that have failed
	alien bool // another buffer's directory is in its place, which has been said
	retry time.Time

	lateSince, lastCommit, lastCursors time.Time
	end                                uint64 // number after that of the newest sample on disk
	passed, recorded                   uint64 // changes of what is acknowledged of the samples on disk: in all, and as the record there has it
	stamps                             uint64 // of Buffer.stamps, as the record there has it
	recordDue                          bool   // the record is to be written, though nobody may wait for that
	generation                         uint64 // of records
	errors                             map[string]uint64
	commits, damaged, bytes            uint64
}

const (
	retryAfter  = 5 * time.Minute
	maxBadSlots = 3
	checkEvery  = time.Second
	forgetAfter = 7 * 24 * time.Hour
	settling    = 10 * time.Minute // from the start on, for destinations to be configured again
)

// run writes to disk when that is due.
func (b *Buffer) run() {
	defer b.done.Done()
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-tick.C:
			now := time.Now()
			b.mu.Lock()
			b.expire(now)
			due, again := b.due(now), b.retryDue(now)
			b.mu.Unlock()
			if again {
				b.retry(now)
			}
			if due {
				b.commit(false)
			}
		case <-b.wake:
			b.commit(false)
		}
	}
}

func (b *Buffer) wakeUp() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// due tells whether the disk is to be written. While no destination is late it is not.
func (b *Buffer) due(now time.Time) bool {
	if b.disk.mode == ModeMemory {
		return false
	}
	interval := time.Duration(b.cfg.CommitInterval)
	late := false
	for _, r := range b.readers {
		late = late || r.isLate(now)
	}
	if !late {
		b.disk.lateSince = time.Time{}
		return b.cursorsDue() && now.Sub(b.disk.lastCursors) >= interval
	}
	if b.disk.lateSince.IsZero() {
		b.disk.lateSince = now
	}
	return now.Sub(b.disk.lateSince) >= interval && now.Sub(b.disk.lastCommit) >= interval
}

// commit brings all that is not acknowledged to disk, and the cursors. Only one goroutine at a time does so; the buffer goes on
// meanwhile.
func (b *Buffer) commit(all bool) {
	b.io.Lock()
	defer b.io.Unlock()
	data, record := b.prepareCommit(all)
	if (data || record) && b.findRing() {
		if data {
			b.syncEpochs()
		}
		for data && b.commitSegment() {
		}
	}
	b.mu.Lock()
	b.trimTail()
	record = (record || data && b.cursorsDue()) && b.disk.mode != ModeMemory
	b.mu.Unlock()
	if record {
		b.syncRecord()
	}
	b.shrink()
	b.closeStranded()
}

// prepareCommit seals what is to be written, and tells whether there is any, and whether the record is due.
func (b *Buffer) prepareCommit(all bool) (data, record bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.disk.mode == ModeMemory {
		return false, false
	}
	if all || !b.disk.lateSince.IsZero() || b.pressed() || len(b.stranded) > 0 {
		data, b.disk.lastCommit = true, time.Now()
		if b.oldestPlace() < b.next {
			b.seal()
		}
		if b.tail != nil {
			b.noteRecord() // who starts without this directory gives no numbers that are in it
		}
	}
	return data, all || b.cursorsDue()
}

var errGone = errors.New("the directory has been moved or deleted")

// findRing makes sure that what is written is where the next process looks for it.
func (b *Buffer) findRing() bool {
	gone := b.disk.ring.gone() // b.io is held: nobody else puts another in its place
	if gone {
		b.diskFailed(errGone)
	}
	return !gone
}

// diskFailed goes on without the disk after an error.
func (b *Buffer) diskFailed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count(err)
	b.toMemory(err)
}

// commitSegment writes what is not yet on disk of the oldest segment that has such. The caller holds b.io.
func (b *Buffer) commitSegment() bool {
	s, stranded := b.oldestUnsaved()
	switch {
	case s == nil:
		return false
	case stranded:
		return b.rescue(s)
	case s.slot == nil && !b.takeSlot(s):
		return false
	}
	b.mu.Lock()
	if s.slot == nil { // it was delivered while a slot was made
		b.mu.Unlock()
		return true
	}
	frames, file := s.flush(), s.slot.file
	b.mu.Unlock()
	n, err := writeFrames(file, frames)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.disk.bytes += uint64(n)
	if err != nil {
		b.slotFailed(s, err)
		return true
	}
	b.disk.commits++
	s.setSaved(frames)
	for _, f := range frames {
		b.saved(span{b.disk.end, f.end()})
	}
	return true
}

// saved notes that a range is on disk now. Where a destination has got something of it before, the record there does
// not know that.
func (b *Buffer) saved(s span) {
	if s.empty() {
		return
	}
	b.disk.end = s.to
	for _, r := range b.readers {
		if spans(r.waits(s)).count() < s.len() {
			b.disk.passed++
			return
		}
	}
}

// oldestUnsaved returns the oldest segment that is to be written to disk, or nil. A stranded one is in a directory that is gone.
func (b *Buffer) oldestUnsaved() (s *segment, stranded bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.disk.mode == ModeMemory {
		return nil, false
	}
	for _, s := range b.segments {
		if s.slot != nil && s.slot.ring != b.disk.ring && !s.stuck {
			return s, true
		}
		if !s.saved() {
			return s, false
		}
	}
	return nil, false
}

// writeFrames writes frames, which follow each other, and syncs them.
func writeFrames(file File, frames []frame) (n int, err error) {
	var buf []byte
	for i := range frames {
		f := &frames[i]
		at := len(buf)
		buf = append(buf, make([]byte, f.room())...)
		f.put(buf[at:])
		copy(buf[at+headerSize:], f.payload)
	}
	if len(frames) > 0 {
		if n, err = file.WriteAt(buf, frames[0].off); err != nil {
			return n, fmt.Errorf("write frames: %w", err)
		}
	}
	if err := file.Sync(); err != nil {
		return n, fmt.Errorf("sync frames: %w", err)
	}
	return n, nil
}
