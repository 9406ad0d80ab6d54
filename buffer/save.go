package buffer

import (
	"slices"
	"time"
)

// expire drops cursors of destinations that have not been configured for long.
func (b *Buffer) expire(now time.Time) {
	if len(b.dormant) == 0 || now.Sub(b.opened) < settling {
		return
	}
	b.dormant = slices.DeleteFunc(b.dormant, func(c cursor) bool {
		old := b.wall().Sub(time.Unix(c.seen, 0)) > forgetAfter
		if old {
			b.log.Info("buffer: a destination was not configured for a week; its place is forgotten", "destination", c.name)
		}
		return old
	})
	b.release()
}

// cursorsDue tells whether the record on disk would let samples that are there be sent again, or with wrong times.
func (b *Buffer) cursorsDue() bool {
	return b.disk.passed != b.disk.recorded || b.disk.recordDue || b.stamps != b.disk.stamps && b.oldestPlace() < b.disk.end
}

// syncEpochs writes the record to disk before rounds of an epoch that it does not know yet. The caller holds b.io.
func (b *Buffer) syncEpochs() {
	b.mu.Lock()
	due := b.disk.mode != ModeMemory && b.stamps != b.disk.stamps && len(b.unsaved()) > 0
	b.mu.Unlock()
	if due {
		b.syncRecord() // an error has ended the use of the disk
	}
}

// oldestPlace is where the slowest destination is, as far as what it waits for can be read. Without any, nothing is done with.
func (b *Buffer) oldestPlace() uint64 {
	if len(b.readers) == 0 {
		return b.first()
	}
	least := b.next
	for _, r := range b.readers {
		least = min(least, r.oldestReadable())
	}
	return least
}

// recordWrite is a record on its way to the disk.
type recordWrite struct {
	record  record
	cursors *cursorFile
	passed  uint64 // disk.passed as of the record
	stamps  uint64 // Buffer.stamps as of the record
}

// newRecordWrite prepares the writing of the record to disk. The caller holds b.mu, and the disk is in use.
func (b *Buffer) newRecordWrite() *recordWrite {
	b.disk.recordDue = false
	return &recordWrite{b.newRecord(), b.disk.ring.cursors, b.disk.passed, b.stamps}
}

// syncRecord writes the record to disk, to stay there. The caller holds b.io, and the ring is open for writing.
func (b *Buffer) syncRecord() error {
	b.mu.Lock()
	w := b.newRecordWrite()
	b.mu.Unlock()
	err := w.cursors.write(&w.record)
	if err == nil {
		err = w.cursors.sync()
	}
	if err != nil {
		b.diskFailed(err)
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.disk.lastCursors = time.Now()
	b.disk.recorded, b.disk.stamps = max(b.disk.recorded, w.passed), max(b.disk.stamps, w.stamps)
	return nil
}

// keepRecord keeps the record where a kill does not reach it: in the tail. Without a tail it goes to the disk, while samples that
// are there are being sent; at other times that would cost writes for nothing. What is to be written to disk is returned, for
// writeRecord: b.mu, which the caller holds, is not held over that.
func (b *Buffer) keepRecord() *recordWrite {
	if b.tail != nil {
		r := b.newRecord()
		err := b.tail.cursors.write(&r)
		if err == nil {
			return nil
		}
		b.tailed(err)
	}
	if b.disk.mode == ModeMemory || b.oldestPlace() >= b.disk.end && !b.cursorsDue() {
		return nil
	}
	return b.newRecordWrite()
}

// noteRecord is keepRecord for a caller who may not wait for the disk.
func (b *Buffer) noteRecord() {
	if w := b.keepRecord(); w != nil {
		b.disk.recordDue = true
		b.wakeUp()
	}
}

// writeRecord writes to disk what keepRecord has returned. Nobody holds b.mu.
func (b *Buffer) writeRecord(w *recordWrite) {
	if w == nil {
		return
	}
	err := w.cursors.write(&w.record) // it survives a kill; until it is synced it stays due, because of power cuts
	if err == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.disk.ring != nil && b.disk.ring.cursors == w.cursors { // it is still the one in use
		b.count(err)
		b.toMemory(err)
	}
}

// newRecord says where everybody is.
func (b *Buffer) newRecord() record {
	b.disk.generation++
	r := record{generation: b.disk.generation, next: b.next, epochs: slices.Clone(b.epochs)}
	if b.next >= provisional {
		r.past = b.past
	}
	now := b.wall().Unix()
	for _, x := range b.readers { // they come first, should there be more than fit
		r.cursors = append(r.cursors, x.cursor(now))
	}
	r.cursors = append(r.cursors, b.dormant...)
	return r
}

// tailed notes the outcome of a write to the WAL's log. After an error it takes nothing more until it is rewritten.
func (b *Buffer) tailed(err error) {
	if err == nil || b.tail == nil {
		return
	}
	b.count(err)
	if !b.tail.broken {
		b.log.Warn("buffer: the tail fails; a kill may cost what is not delivered", "directory", b.tail.dir, "error", err)
	}
	b.tail.broken = true
}

// rewriteTail writes the log anew.
func (b *Buffer) rewriteTail() {
	broken := b.tail.broken
	b.tailed(b.tail.rewrite(b.unsaved(), b.book, &b.pack, b.hot))
	if broken && !b.tail.broken {
		b.log.Info("buffer: the tail works again", "directory", b.tail.dir)
	}
}

// trimTail cuts off the tail what is acknowledged or on disk.
func (b *Buffer) trimTail() {
	t := b.tail
	if t == nil {
		return
	}
	var unsaved []*segment
	live, hot := 0, b.hot
	for _, s := range b.segments {
		if !s.saved() {
			unsaved = append(unsaved, s)
			for _, list := range [][]frame{s.dicts, s.needed()} {
				for i := range list {
					live += headerSize + len(list[i].payload)
				}
			}
		}
	}
	for i := range hot {
		live += 2*headerSize + 8*len(hot[i].values)
	}
	if live == 0 {
		b.tailed(t.cut(b.book)) // where the log is broken, too: what is left there would come twice
		return
	}
	if t.broken || t.size <= min(tailLimit, t.dict.head+2*int64(live)+tailSlack) {
		return
	}
	for live > tailLimit-tailSlack && len(unsaved) > 0 {
		s := unsaved[0]
		unsaved = unsaved[1:]
		t.lost += uint64(s.samples)
		for i := range s.blocks {
			live -= len(s.blocks[i].payload)
		}
	}
	b.tailed(t.rewrite(unsaved, b.book, &b.pack, hot))
}
