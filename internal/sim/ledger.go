package sim

import (
	"fmt"
	"math"
	"sync"
	"time"

	"headend-agent/internal/metric"
)

// ledger knows every sample that was ever appended, and what has become of it at each destination. It is the simulation's own: no
// number of the agent's goes into it.
type ledger struct {
	mu      sync.Mutex
	series  map[string]*series // by packed labels, without external ones
	rounds  int
	samples int
	fail    func(format string, args ...any)
}

// series is one time series with all that was appended to it, in order.
type series struct {
	labels  metric.Labels
	entries []entry
	at      map[string]*progress // by destination
}

// entry is an appended sample.
type entry struct {
	bits     uint64
	ms       int64         // its time as stamped, in ms: Unix time, or the time since boot where unset
	mono     int64         // ms since boot at which it was measured,
	spread   int64         // or up to so many later
	boot     int           // number of the boot
	appended time.Duration // since the life began
	unset    bool          // stamped before the clock was set
	own      bool          // the source gave the time: nobody corrects it
	kept     bool          // Append has returned
}

// progress is what has become of the entries of a series at one destination.
type progress struct {
	fates []fate
	next  int // where to look first for what is handed out next
	last  int // newest entry that was stored; the order of a fifo destination

	refused bool // the receiver has refused some of it
}

type fate struct {
	handedMs int64         // the time with which it was handed out last
	beforeMs int64         // and before, with another one: a request may still be on its way
	ackedAt  time.Duration // since the life began
	answerAt time.Duration // when the 2xx went out
	flags    uint8
}

const (
	handed    = 1 << iota // the buffer has handed it out
	stored                // the receiver holds it
	answered              // and its 2xx reached the sender
	acked                 // the sender has acknowledged the batch it was in
	refused               // the receiver has refused it
	mayBeLost             // the simulation has done something that may have cost it
	mayRepeat             // the simulation has done something after which it may come again
	mayBeLate             // it was out of the agent's reach for a while: newer ones may have gone before
)

func newLedger(fail func(string, ...any)) *ledger {
	return &ledger{series: map[string]*series{}, fail: fail}
}

// begin notes a round that is about to be appended. It calls stamp for what the round's times mean.
func (l *ledger) begin(r metric.Round, now time.Duration, stamp func(e *entry)) (touched []*series) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rounds++
	l.samples += len(r.Values)
	for i, ref := range r.Series {
		key := string(ref.Labels.Packed())
		s := l.series[key]
		if s == nil {
			s = &series{labels: metric.Labels(key), at: map[string]*progress{}}
			l.series[key] = s
		}
		e := entry{bits: math.Float64bits(r.Values[i]), ms: r.TimeMs, appended: now, unset: r.Unset, own: r.Epoch == 0}
		stamp(&e)
		s.entries = append(s.entries, e)
		touched = append(touched, s)
	}
	return touched
}

// keep notes that the Append of a round has returned: from now on nothing may cost its samples.
func (l *ledger) keep(touched []*series) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range touched {
		s.entries[len(s.entries)-1].kept = true
	}
}

func (s *series) progress(destination string) *progress {
	p := s.at[destination]
	if p == nil {
		p = &progress{last: -1}
		s.at[destination] = p
	}
	for len(p.fates) < len(s.entries) {
		p.fates = append(p.fates, fate{})
	}
	return p
}

// sample is one place in the ledger.
type sample struct {
	series *series
	index  int
}

// handOut notes that the buffer hands out a sample, and returns its place, and its flags until now. fits tells whether ms can be the
// time of an entry.
func (l *ledger) handOut(destination string, labels metric.Labels, p metric.Point, after int, fits func(*entry, int64) bool) (x sample, before uint8, ok bool) {
	s := l.series[string(labels)]
	if s == nil {
		l.fail("truth: %s is handed out to %s and was never appended", labels, destination)
		return x, 0, false
	}
	g := s.progress(destination)
	i := s.find(max(g.next, after), math.Float64bits(p.Value), p.TimeMs, fits)
	if i < 0 {
		i = s.find(after, math.Float64bits(p.Value), p.TimeMs, fits)
	}
	if i < 0 {
		l.fail("truth: %s at %d with %x is handed out to %s%s", labels, p.TimeMs, math.Float64bits(p.Value), destination,
			s.explain(math.Float64bits(p.Value)))
		return x, 0, false
	}
	f := &g.fates[i]
	if f.flags&acked != 0 && f.flags&mayRepeat == 0 {
		l.fail("repeats: %s at %d is handed out to %s after it was acknowledged", labels, p.TimeMs, destination)
	}
	if f.flags&handed != 0 && f.handedMs != p.TimeMs {
		f.beforeMs = f.handedMs
	}
	before = f.flags
	f.flags |= handed
	f.handedMs = p.TimeMs
	return sample{s, i}, before, true
}

// handOutUnseen notes that the buffer of a process that has just been killed has handed out a batch, of which it may know.
func (l *ledger) handOutUnseen(destination string, b *metric.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range b.Series {
		s := l.series[string(b.Series[i].Ref.Labels.Packed())]
		if s == nil {
			continue
		}
		g := s.progress(destination)
		for k := range s.entries {
			for _, p := range b.Series[i].Points {
				if s.entries[k].bits == math.Float64bits(p.Value) {
					g.fates[k].flags |= handed
				}
			}
		}
	}
}

// find returns the first entry from a place on with a value and a time that fits it.
func (s *series) find(from int, bits uint64, ms int64, fits func(*entry, int64) bool) int {
	for i := max(0, from); i < len(s.entries); i++ {
		if s.entries[i].bits == bits && fits(&s.entries[i], ms) {
			return i
		}
	}
	return -1
}

// explain says when entries with a value were appended.
func (s *series) explain(bits uint64) string {
	text := ", and was never appended"
	for i := range s.entries {
		if e := &s.entries[i]; e.bits == bits {
			text = fmt.Sprintf("; it was stamped %d (unset %t, boot %d, %s into the life)", e.ms, e.unset, e.boot, e.appended)
		}
	}
	return text
}

// store notes that a receiver holds a sample now, from a request that arrived at a moment of the life. It returns the place, or false
// where nothing like it was handed out.
func (l *ledger) store(destination string, labels metric.Labels, ms int64, value float64, arrived time.Duration, inOrder bool) (sample, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, ok := l.lookup(destination, labels, ms, value)
	if !ok {
		l.fail("truth: %s receives %s at %d with %x, which nobody has handed out", destination, labels, ms, math.Float64bits(value))
		return x, false
	}
	g := x.series.progress(destination)
	f := &g.fates[x.index]
	switch {
	case f.flags&(stored|mayRepeat|mayBeLost|mayBeLate) == 0 && inOrder && x.index < g.last:
		l.fail("truth: %s receives %s out of order at %d", destination, labels, ms)
	case f.flags&(stored|answered) == stored|answered && f.answerAt < arrived && f.flags&mayRepeat == 0:
		l.fail("repeats: %s receives %s at %d again, whose 2xx had arrived", destination, labels, ms)
	}
	f.flags |= stored
	g.last = max(g.last, x.index)
	return x, true
}

// lookup finds a sample that was handed out.
func (l *ledger) lookup(destination string, labels metric.Labels, ms int64, value float64) (sample, bool) {
	s := l.series[string(labels)]
	if s == nil {
		return sample{}, false
	}
	g := s.progress(destination)
	bits := math.Float64bits(value)
	at := max(0, g.last)
	for i := at; i < len(s.entries); i++ {
		if f := &g.fates[i]; s.entries[i].bits == bits && f.flags&handed != 0 && (f.handedMs == ms || f.beforeMs == ms) {
			return sample{s, i}, true
		}
	}
	for i := at - 1; i >= 0; i-- {
		if f := &g.fates[i]; s.entries[i].bits == bits && f.flags&handed != 0 && (f.handedMs == ms || f.beforeMs == ms) {
			return sample{s, i}, true
		}
	}
	return sample{}, false
}

// answer notes that the 2xx for samples is on its way, at a moment of the life.
func (l *ledger) answer(destination string, list []sample, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range list {
		f := &x.series.progress(destination).fates[x.index]
		f.flags |= answered
		f.answerAt = now
	}
}

// mark sets flags of samples.
func (l *ledger) mark(destination string, list []sample, flags uint8) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range list {
		g := x.series.progress(destination)
		g.fates[x.index].flags |= flags
		g.refused = g.refused || flags&refused != 0
	}
}

// each calls f for all entries of a destination.
func (l *ledger) each(destination string, f func(*series, *entry, *fate)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.series {
		g := s.progress(destination)
		for i := range s.entries {
			f(s, &s.entries[i], &g.fates[i])
		}
	}
}

// find is lookup for a sample that is not stored.
func (l *ledger) find(destination string, labels metric.Labels, p metric.Point) (sample, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lookup(destination, labels, p.TimeMs, p.Value)
}
