package sim

import "time"

// troubles are what has recently been wrong with the places where samples are safe. What a kill or a power loss may cost depends on it.
type troubles struct {
	disk, wal trouble
}

// trouble is the time from which until which something did not work.
type trouble struct {
	depth int // things that are wrong now
	since time.Duration
	until time.Duration
}

func (t *trouble) begin(now time.Duration) {
	if t.depth == 0 && now-t.until > retryTime {
		t.since = now
	}
	t.depth++
}

func (t *trouble) end(now time.Duration) {
	t.depth--
	t.until = now
}

// retryTime is how long the agent may take to notice that something works again.
const retryTime = 6 * time.Minute

// from returns since when something has been wrong; ok is false while all is well.
func (t *trouble) from(now time.Duration) (since time.Duration, ok bool) {
	if t.depth > 0 || t.until > 0 && now-t.until < retryTime {
		return t.since, true
	}
	return 0, false
}

// exposure is how old a sample may be that a power loss costs, while the disk works: the commit interval, the flush interval, and
// the time after which a destination is late.
func (w *world) exposure() time.Duration {
	flush := time.Duration(0)
	for _, d := range w.destinations {
		flush = max(flush, d.setup.Flush)
	}
	const late, slack = 15 * time.Second, 5 * time.Second
	return w.plan.Setup.Commit + flush + late + slack
}

// memoryGoes notes that what is in memory only, and not in the WAL, may be lost.
func (w *world) memoryGoes() {
	now := w.clock.elapsed()
	w.mu.Lock()
	_, noWAL := w.trouble.wal.from(now)
	w.mu.Unlock()
	if noWAL || w.plan.Setup.NoTmpfs {
		w.clock.forget()
		w.powerGoes()
	}
}

// powerGoes notes that what is not safe on the disk may be lost, and that acknowledgements which are not there may be forgotten.
func (w *world) powerGoes() {
	now := w.clock.elapsed()
	from := now - w.exposure()
	w.mu.Lock()
	if since, bad := w.trouble.disk.from(now); bad {
		from = min(from, since-w.exposure())
	}
	w.mu.Unlock()
	w.forget(from)
}

// forget marks what was appended, or acknowledged, from a moment on.
func (w *world) forget(from time.Duration) {
	for _, d := range w.destinations {
		w.ledger.each(d.name, func(_ *series, e *entry, f *fate) {
			if e.appended >= from {
				f.flags |= mayBeLost
			}
			if f.flags&acked != 0 && f.ackedAt >= from || f.flags&stored != 0 && f.flags&acked == 0 {
				f.flags |= mayRepeat
			}
		})
	}
}

// forgetAcknowledged notes that anything may come again.
func (w *world) forgetAcknowledged() {
	for _, d := range w.destinations {
		w.ledger.each(d.name, func(_ *series, _ *entry, f *fate) { f.flags |= mayRepeat })
	}
}

// inHandGoes notes that the batches in a killed process' hands may have arrived without its knowing.
func (w *world) inHandGoes(p *process) {
	for _, d := range w.destinations {
		w.ledger.mark(d.name, p.inHand(d.name), mayRepeat)
	}
}

// outOfReach notes, at a start, that what an earlier process has left may come to light only later, when the disk can be read.
func (w *world) outOfReach() {
	now := w.clock.elapsed()
	w.mu.Lock()
	_, disk := w.trouble.disk.from(now)
	_, wal := w.trouble.wal.from(now)
	w.mu.Unlock()
	if !disk && !wal {
		return
	}
	for _, d := range w.destinations {
		w.ledger.each(d.name, func(_ *series, _ *entry, f *fate) {
			if f.flags&stored == 0 {
				f.flags |= mayBeLate
			}
		})
	}
}
