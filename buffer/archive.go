package buffer

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"headend-agent/internal/metric"
)

// Archive is the directory of a buffer, opened to look at. It changes nothing in it, and an agent may be at work there.
type Archive struct {
	ring  *ring
	found found
}

// OpenArchive reads the headers of the buffer at path.
func OpenArchive(path string) (*Archive, error) { return openArchive(osFS{}, path) }

func openArchive(fsys FS, path string) (*Archive, error) {
	if filepath.Base(path) == "v"+strconv.Itoa(formatVersion) {
		path = filepath.Dir(path)
	}
	r := &ring{fs: fsys, dir: filepath.Join(path, "v"+strconv.Itoa(formatVersion))}
	a := &Archive{ring: r}
	names, err := fsys.Names(r.dir)
	if err != nil {
		return nil, fmt.Errorf("open buffer: %w", err)
	}
	for _, name := range names {
		if i, ok := slotNumber(name); ok {
			r.openSlot(i) // one that cannot be opened is left out
		}
	}
	if len(r.slots) == 0 && !slices.Contains(names, "cursors") {
		return nil, fmt.Errorf("open buffer: there is none in %s", path)
	}
	a.found.scan(r, time.Now(), true)
	a.found.record, _ = readCursors(fsys, r.cursorsName(), true) // insisting, it does not fail
	return a, nil
}

// Close closes the files.
func (a *Archive) Close() { a.ring.close() }

// rounds yields all rounds, oldest first, with the numbers of their book. What is damaged is passed over, and told to bad.
func (a *Archive) rounds(table *metric.Table, yield func(*book, []round) error, bad func(*segment, *frame, error)) error {
	var l loader
	for _, s := range a.found.segments {
		for i := range s.blocks {
			k := block{segment: s, file: s.slot.file, dicts: s.dicts, chain: s.blocks[s.key(i) : i+1], table: table}
			b, rounds, err := l.rounds(&k, nil)
			if err != nil {
				bad(s, &s.blocks[i], err)
				continue
			}
			if err := yield(b, rounds); err != nil {
				return err
			}
		}
	}
	return nil
}

// SlotReport is what a slot holds.
type SlotReport struct {
	Slot         int
	Lap          uint64
	Bytes        int64 // of frames
	Blocks       int
	Damaged      int // of the blocks: they cannot be read
	Samples      int
	MinMs, MaxMs int64 // Unix time, as the rounds were stamped
	Error        string
}

// CursorReport is how far a destination is.
type CursorReport struct {
	Destination string
	Note        string
	Pending     int     // samples that it has not got
	Hours       float64 // that they span
	Gaps        int
	InFlight    bool  // a batch may have been sent whose answer is not known
	Seen        int64 // Unix time at which it was last configured
}

// Report is what a buffer on disk holds. Samples that an agent at work has in memory only are not in it.
type Report struct {
	Slots   []SlotReport // oldest data first
	Free    int          // slots without data
	Cursors []CursorReport
}

// Inspect reads all of the archive, and checks it.
func (a *Archive) Inspect() (Report, error) {
	var r Report
	at := map[*segment]*SlotReport{}
	r.Slots = make([]SlotReport, len(a.found.segments))
	for i, s := range a.found.segments {
		p := &r.Slots[i]
		*p = SlotReport{Slot: s.slot.index, Lap: s.lap, Blocks: len(s.blocks), Samples: s.samples, MinMs: s.blocks[0].minMs, MaxMs: s.blocks[0].maxMs}
		for _, list := range [][]frame{s.dicts, s.blocks} {
			for i := range list {
				p.Bytes += list[i].room()
			}
		}
		for _, f := range s.blocks {
			p.MinMs, p.MaxMs = min(p.MinMs, f.minMs), max(p.MaxMs, f.maxMs)
		}
		at[s] = p
	}
	for _, s := range a.ring.slots {
		if s.file != nil && !s.held {
			r.Free++
		}
	}
	err := a.rounds(metric.NewTable(), func(*book, []round) error { return nil }, func(s *segment, f *frame, err error) {
		p := at[s]
		p.Damaged++
		p.Samples -= int(f.samples)
		p.Error = err.Error()
	})
	for i := range a.found.record.cursors {
		r.Cursors = append(r.Cursors, a.cursor(&a.found.record.cursors[i]))
	}
	slices.SortFunc(r.Cursors, func(a, b CursorReport) int { return strings.Compare(a.Destination, b.Destination) })
	return r, err
}

func (a *Archive) cursor(c *cursor) CursorReport {
	r := CursorReport{Destination: c.name, Note: c.note, Gaps: len(c.gaps), InFlight: len(c.unsure) > 0, Seen: c.seen}
	var minMs, maxMs int64
	for _, w := range append(slices.Clone(c.gaps), span{c.live, 1 << 62}) {
		for _, s := range a.found.segments {
			r.Pending += s.between(w.from, w.to)
			for _, f := range s.blocks {
				if f.seq < w.to && f.end() > w.from {
					if minMs == 0 || f.minMs < minMs {
						minMs = f.minMs
					}
					maxMs = max(maxMs, f.maxMs)
				}
			}
		}
	}
	r.Hours = float64(maxMs-minMs) / 3.6e6
	return r
}
