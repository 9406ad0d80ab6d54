package buffer

import (
	"path/filepath"
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
	return b.places() != b.disk.places || b.stamps != b.disk.stamps && b.oldestPlace() < b.disk.end
}

// syncEpochs writes the record to disk before rounds of an epoch that it does not know yet. It gives b.mu up meanwhile.
func (b *Buffer) syncEpochs() {
	if b.disk.mode == ModeMemory || b.stamps == b.disk.stamps || len(b.unsaved()) == 0 {
		return
	}
	if err := b.syncCursors(); err != nil {
		b.count(err)
		b.toMemory(err)
	}
}

// places sums up where the destinations are in what is on disk.
func (b *Buffer) places() (sum uint64) {
	for _, r := range b.readers {
		sum += min(r.oldest(), b.disk.end)
	}
	return sum
}

// oldestPlace is where the slowest destination is. Without any, nothing is done with.
func (b *Buffer) oldestPlace() uint64 {
	if len(b.readers) == 0 {
		return b.first()
	}
	least := b.next
	for _, r := range b.readers {
		least = min(least, r.oldest())
	}
	return least
}

// syncCursors writes the record to disk. It gives b.mu up meanwhile.
func (b *Buffer) syncCursors() error {
	r, places, stamps := b.record(), b.places(), b.stamps
	b.mu.Unlock()
	err := b.disk.cursors.write(&r)
	if err == nil {
		err = b.disk.cursors.file.Sync()
	}
	b.mu.Lock()
	if err == nil {
		b.disk.places, b.disk.stamps = places, stamps
	}
	return err
}

// saveCursors keeps the record where a kill does not reach it: in the tail. Without a tail it goes to the disk, while samples that
// are there are being sent; at other times that would cost writes for nothing. It gives b.mu up where it writes to the disk.
func (b *Buffer) saveCursors() {
	if b.tail != nil {
		r := b.record()
		b.tailed(b.tail.cursors.write(&r))
		return
	}
	if b.disk.mode == ModeMemory || b.oldestPlace() >= b.disk.end && !b.cursorsDue() {
		return
	}
	r, places := b.record(), b.places()
	b.mu.Unlock()
	err := b.disk.cursors.write(&r)
	b.mu.Lock()
	if err != nil {
		b.count(err)
		b.toMemory(err)
		return
	}
	b.disk.places = places
}

// record says where everybody is.
func (b *Buffer) record() record {
	b.disk.generation++
	r := record{generation: b.disk.generation, next: b.next, epochs: slices.Clone(b.epochs), cursors: slices.Clone(b.dormant)}
	now := b.wall().Unix()
	for _, x := range b.readers {
		r.cursors = append(r.cursors, x.cursor(now))
	}
	return r
}

// tailed notes the outcome of a write to the tail: with an error there is no tail any more.
func (b *Buffer) tailed(err error) {
	if err == nil || b.tail == nil {
		return
	}
	b.count(err)
	b.log.Warn("buffer: the tail fails; a kill may cost what is not delivered", "directory", b.tail.dir, "error", err)
	b.tail.close()
	b.tail = nil
	b.disk.retry = time.Now().Add(retryAfter)
}

// retryTail makes the tail anew after it has failed.
func (b *Buffer) retryTail() {
	if b.tail != nil || b.tailDir == "" {
		return
	}
	t, err := openTail(b.fs, b.tailDir)
	if err != nil {
		b.count(err)
		return
	}
	b.tail = t
	b.tailed(t.rewrite(b.unsaved(), b.book, &b.pack, b.hot))
	b.saveCursors()
	if b.tail != nil {
		b.log.Info("buffer: the tail works again", "directory", b.tailDir)
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
		b.tailed(t.restart(b.book))
		return
	}
	if t.size <= min(tailLimit, t.base+2*int64(live)+tailSlack) {
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

func cursorsName(r *ring) string { return filepath.Join(r.dir, "cursors") }
