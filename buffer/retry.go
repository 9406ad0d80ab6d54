package buffer

import "time"

const (
	insistAfter    = 3           // failed attempts, after which a directory is used that can be read in part only
	checkTailEvery = time.Minute // whether the WAL is where the next process looks for it
)

// retryDue tells whether what does not work is to be tried again.
func (b *Buffer) retryDue(now time.Time) bool {
	if b.tail != nil && !b.tail.broken && now.Sub(b.tailChecked) >= checkTailEvery {
		if b.tailChecked = now; b.tail.gone() {
			b.tailed(errGone)
			return true
		}
	}
	if !now.After(b.disk.retry) {
		return false
	}
	return b.cfg.Path != "" && b.disk.mode != ModeDisk || b.tailDir != "" && (b.tail == nil || b.tail.broken) || b.waitsForDisk()
}

// retry tries the disk and the WAL after trouble.
func (b *Buffer) retry(now time.Time) {
	b.io.Lock()
	defer b.io.Unlock()
	b.mu.Lock()
	b.disk.retry = now.Add(retryAfter)
	if b.tailDir != "" {
		b.retryTail()
	}
	b.mu.Unlock()
	if b.cfg.Path != "" {
		b.retryDisk()
	}
}

// retryTail writes the WAL's log anew where that has failed, and opens the WAL where it is not open or not where it was. The caller
// holds b.mu.
func (b *Buffer) retryTail() {
	if b.tail != nil {
		if !b.tail.broken {
			return
		}
		if b.rewriteTail(); !b.tail.broken && !b.tail.gone() {
			return
		}
		b.tail.close()
		b.tail = nil
	}
	t, logged, _, err := openTail(b.fs, b.tailDir)
	if err != nil {
		b.count(err)
		return
	}
	if b.tailUnread {
		b.tailUnread = false
		b.takeInTail(t, logged)
	}
	b.tail = t
	t.broken = true // until it is written
	b.rewriteTail()
	b.noteRecord()
}

// takeInTail takes in what an earlier process has left in the WAL.
func (b *Buffer) takeInTail(t *tail, logged record) {
	x, f, had := b.another(), found{book: b.book.id}, spans(nil)
	if b.disk.ring != nil {
		f.readable, f.record = true, b.record
		n := 0
		for n < len(b.segments) && b.segments[n].end() <= b.past {
			n++
		}
		x.segments, b.segments = b.segments[:n:n], b.segments[n:]
		had = spans{{x.first(), b.past}}
		for _, hole := range x.missing(had[0]) {
			had = had.subtract(hole)
		}
	}
	x.loadDisk(&f)
	x.loadTail(&f, t, logged)
	b.takeIn(x, had, false)
}

// retryDisk opens the directory where it is not open, not open for writing, or no longer where it was; else it tries to write.
func (b *Buffer) retryDisk() {
	b.mu.Lock()
	r, mode := b.disk.ring, b.disk.mode
	b.disk.full = false
	b.mu.Unlock()
	switch {
	case r == nil || r.gone():
		b.openAgain()
	case mode != ModeMemory || r.max < 2:
	case !r.write || !b.tryRing(r):
		b.reopen(r)
	}
}

// reopen opens all files of the directory anew, for writing: it was read-only, or its device has gone and come back as another one.
func (b *Buffer) reopen(r *ring) {
	o, err := r.reopen()
	b.mu.Lock()
	if err != nil {
		b.count(err)
		b.mu.Unlock()
		return
	}
	r.install(o)
	b.tryUnread()
	b.mu.Unlock()
	b.tryRing(r)
}

// tryRing tries to write, and goes on with the disk where that succeeds. It is false where nothing can be written.
func (b *Buffer) tryRing(r *ring) bool {
	b.mu.Lock()
	for _, x := range r.slots {
		x.bad = false
	}
	b.mu.Unlock()
	if b.syncRecord() != nil {
		return false
	}
	for {
		i := b.lackingSlot(r)
		if i < 0 {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.useDisk()
			return true
		}
		f, err := r.makeFile(i)
		b.mu.Lock()
		if err != nil {
			defer b.mu.Unlock()
			b.count(err)
			return true // there is no room yet
		}
		r.slot(i).file = f
		b.mu.Unlock()
	}
}

// lackingSlot returns the number of a slot that is to be made for a ring to work, or -1.
func (b *Buffer) lackingSlot(r *ring) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range r.max {
		if r.usable() < 2 && r.slot(i).file == nil {
			return i
		}
	}
	return -1
}

// openAgain opens the directory that could not be read until now, or that has come into the place of the one in use.
func (b *Buffer) openAgain() {
	b.mu.Lock()
	b.disk.opens++
	old, insist := b.disk.ring, b.disk.opens >= insistAfter
	b.mu.Unlock()
	r, f, err := openRing(b.fs, b.cfg.Path, int64(b.cfg.Size), b.wall(), insist)
	if err != nil {
		b.mu.Lock()
		b.count(err)
		b.mu.Unlock()
	}
	switch {
	case r == nil:
	case old == nil:
		b.takeInRing(r, &f, err == nil)
	case err != nil: // it can only be read
		r.close()
	default:
		b.changeRing(r, &f)
	}
}

// takeInRing takes a directory into use that could not be read until now.
func (b *Buffer) takeInRing(r *ring, f *found, write bool) {
	x := b.another()
	x.loadDisk(f)
	x.loadTail(f, nil, record{})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.disk.ring = r
	b.takeIn(x, nil, f.partly)
	if write {
		b.useDisk()
	}
	if b.tail != nil {
		b.rewriteTail() // numbers may have been moved
	}
	b.noteRecord()
	b.disk.recordDue = true
}
