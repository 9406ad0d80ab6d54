package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"headend-agent/internal/metric"
)

// record is what the buffer remembers beside the samples. It is advice: without it samples come twice, none are lost.
type record struct {
	generation uint64 // the newest record holds
	next       uint64 // number of the next sample
	past       uint64 // where next is provisional: of other samples the cursors know those before this number; else 0
	epochs     []epochOffset
	cursors    []cursor
}

type epochOffset struct {
	epoch  metric.Epoch
	offset int64 // milliseconds
}

// cursor is how far a destination is.
type cursor struct {
	name   string
	note   string
	seen   int64  // Unix time, in seconds, at which it was last configured
	live   uint64 // from here on nothing is acknowledged
	gaps   spans  // before that, what is not
	unsure spans  // batches that may have been sent; in order

	inactive bool // the newest process did not have the destination: its memory was kept for nobody
}

// markInactive finds the destinations of a record that its process did not have: it has seen the others later.
func markInactive(cursors []cursor) {
	newest := int64(0)
	for i := range cursors {
		newest = max(newest, cursors[i].seen)
	}
	for i := range cursors {
		cursors[i].inactive = cursors[i].seen < newest
	}
}

// Bounds of a record.
const (
	recordMagic = 0x48454143
	recordHead  = 32
	recordSlot  = 32 << 10
	maxCursors  = 64
	maxGaps     = 16
	maxUnsure   = 8
	maxAttempt  = 1 << 20 // samples of a batch
	maxNote     = 256
	maxEpochs   = 512
)

var errRecord = errors.New("cursors do not follow the format")

// append appends the record in its slot's form. Destinations beyond what fits are left out: their samples come twice.
func (r *record) append(dst []byte) []byte {
	cursors := make([]cursor, min(len(r.cursors), maxCursors))
	for i := range cursors {
		cursors[i] = r.cursors[i].bounded()
	}
	for n := len(cursors); ; n-- {
		if b := r.appendWith(dst, cursors[:n]); len(b)-len(dst) <= recordSlot || n == 0 {
			return b
		}
	}
}

func (r *record) appendWith(dst []byte, cursors []cursor) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, recordHead)...)
	dst = binary.AppendUvarint(dst, r.next)
	dst = binary.AppendUvarint(dst, uint64(len(r.epochs)))
	for _, e := range r.epochs {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.epoch))
		dst = binary.AppendUvarint(dst, zigzag(e.offset))
	}
	dst = binary.AppendUvarint(dst, uint64(len(cursors)))
	for _, c := range cursors {
		dst = appendText(appendText(dst, c.name), c.note)
		dst = binary.AppendUvarint(dst, zigzag(c.seen))
		dst = binary.AppendUvarint(dst, c.live)
		for _, list := range []spans{c.gaps, c.unsure} {
			dst = binary.AppendUvarint(dst, uint64(len(list)))
			for _, s := range list {
				dst = binary.AppendUvarint(binary.AppendUvarint(dst, s.from), s.to-s.from)
			}
		}
	}
	b, le := dst[at:], binary.LittleEndian
	le.PutUint32(b, recordMagic)
	b[4] = formatVersion
	le.PutUint64(b[8:], r.generation)
	le.PutUint32(b[16:], uint32(len(b)))
	le.PutUint64(b[24:], r.past)
	le.PutUint32(b[20:], recordSum(b))
	return dst
}

// recordSum is the CRC of all of a record but itself.
func recordSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:20], castagnoli), castagnoli, b[24:])
}

func parseRecord(b []byte) (r record, err error) {
	le := binary.LittleEndian
	if len(b) < recordHead || le.Uint32(b) != recordMagic || b[4] != formatVersion {
		return r, errRecord
	}
	n := le.Uint32(b[16:])
	if n < recordHead || int64(n) > int64(len(b)) || le.Uint32(b[20:]) != recordSum(b[:n]) {
		return r, errRecord
	}
	in := &reading{b: b[recordHead:n]}
	r.generation, r.past, r.next = le.Uint64(b[8:]), le.Uint64(b[24:]), in.uvarint()
	for range in.count(9) {
		r.epochs = append(r.epochs, epochOffset{metric.Epoch(in.uint64()), in.varint()})
	}
	for range in.count(6) {
		c := cursor{name: in.text(), note: in.text(), seen: in.varint(), live: in.uvarint()}
		for _, list := range []*spans{&c.gaps, &c.unsure} {
			for range in.count(2) {
				from, n := in.uvarint(), in.uvarint()
				*list = append(*list, span{from, from + n})
			}
		}
		if c.repair() {
			r.cursors = append(r.cursors, c)
		}
	}
	if in.err != nil || r.next > maxNumber || r.past > provisional {
		return r, errRecord
	}
	return r, nil
}

// maxNumber is more than all numbers of samples.
const maxNumber = 1 << 62

// repair brings a cursor that was read into the form that others rely on. What contradicts itself is taken such that samples come
// twice, and none are lost. It is false where nothing can be made of the cursor.
func (c *cursor) repair() bool {
	gaps, last := c.gaps, uint64(0)
	c.gaps = nil
	for _, g := range gaps {
		if g.empty() || g.from < last || g.to > c.live {
			c.live, c.gaps = min(c.live, g.from), nil
			for _, g := range gaps {
				c.live = min(c.live, g.from)
			}
			break
		}
		c.gaps, last = c.gaps.add(g), g.to
	}
	c.unsure = slices.DeleteFunc(c.unsure, func(s span) bool { return s.empty() || s.len() > maxAttempt || s.to > maxNumber })
	return c.live <= maxNumber
}

// bounded is the cursor as a record can hold it. Between gaps that are merged are samples that come twice; of the indeterminate
// batches the oldest are left out.
func (c cursor) bounded() cursor {
	for len(c.gaps) > maxGaps {
		near := 0
		for i := range len(c.gaps) - 1 {
			if c.gaps[i+1].from-c.gaps[i].to < c.gaps[near+1].from-c.gaps[near].to {
				near = i
			}
		}
		c.gaps = c.gaps.add(span{c.gaps[near].to, c.gaps[near+1].from})
	}
	c.unsure = c.unsure[max(0, len(c.unsure)-maxUnsure):]
	c.note = c.note[:min(len(c.note), maxNote)]
	return c
}

// oldest is the number of the first sample that the destination has not got.
func (c *cursor) oldest() uint64 {
	if len(c.gaps) > 0 {
		return c.gaps[0].from
	}
	return c.live
}

// last is more than all numbers of samples that the record knows of.
func (r *record) last() (n uint64) {
	n = r.next
	for i := range r.cursors {
		n = max(n, r.cursors[i].live)
	}
	return n
}

// merge returns what holds of the disk's record and of the WAL's: the newer one. Where the WAL's process could not read the disk, and
// has given provisional numbers, which are moved by shift, its cursors know nothing of what the disk has from a number on.
func (r record) merge(w *record, shift uint64, disk span) record {
	if w.next < provisional || shift == 0 {
		if w.generation > r.generation {
			return *w
		}
		return r
	}
	both := record{generation: max(r.generation, w.generation), next: shifted(w.next, shift), epochs: mergeEpochs(w.epochs, r.epochs)}
	unknown := disk.meet(span{w.past, maxNumber})
	for _, c := range w.cursors {
		c = c.shifted(shift)
		waits := spans{unknown}
		if i := slices.IndexFunc(r.cursors, func(d cursor) bool { return d.name == c.name }); i >= 0 {
			d := &r.cursors[i]
			waits = d.gaps.add(span{d.live, disk.to}).within(unknown)
			c.unsure = slices.Concat(d.unsure, c.unsure)
			if c.note == "" {
				c.note = d.note
			}
		}
		for _, s := range waits {
			c.gaps = c.gaps.add(s)
		}
		both.cursors = append(both.cursors, c)
	}
	for _, d := range r.cursors {
		if !slices.ContainsFunc(w.cursors, func(c cursor) bool { return c.name == d.name }) {
			both.cursors = append(both.cursors, d)
		}
	}
	return both
}

// shifted moves the cursor's provisional numbers.
func (c cursor) shifted(shift uint64) cursor {
	c.live = shifted(c.live, shift)
	c.gaps, c.unsure = c.gaps.shifted(shift), c.unsure.shifted(shift)
	return c
}

// mergeEpochs returns the newer ones, and what the others know beside.
func mergeEpochs(newer, older []epochOffset) []epochOffset {
	merged := slices.Clone(newer)
	for _, o := range slices.Backward(older) {
		if !slices.ContainsFunc(newer, func(e epochOffset) bool { return e.epoch == o.epoch }) && len(merged) < maxEpochs {
			merged = slices.Insert(merged, 0, o)
		}
	}
	return merged
}

// cursorFile holds two records. The newest one that is safe is not written over: whatever becomes of a write, that one stays.
type cursorFile struct {
	file   File
	synced bool // a record is safe when it is synced; else, on a file system in memory, when it is written

	mu       diskLock
	buf      []byte
	newest   uint64 // generation written
	safe     int64  // place, 0 or 1, of the newest safe record
	unsynced bool   // the other place has a newer one
}

// openCursors opens the file for writing, or makes one, and returns the newest record in it, or an empty one. Where a record cannot
// be read now it fails, unless insist.
func openCursors(fsys FS, name string, insist bool) (*cursorFile, record, error) {
	f, err := fsys.Open(name, true, true)
	if err != nil {
		return nil, record{}, fmt.Errorf("open cursors: %w", err)
	}
	c := &cursorFile{file: f, synced: !fsys.InMemory(filepath.Dir(name)), mu: make(diskLock, 1)}
	newest, err := c.read(insist)
	if err == nil {
		err = c.prepare()
	}
	if err != nil {
		f.Close()
		return nil, record{}, err
	}
	return c, newest, nil
}

// readCursors returns the newest record of a file, or an empty one where there is none.
func readCursors(fsys FS, name string, insist bool) (record, error) {
	f, err := fsys.Open(name, false, false)
	if errors.Is(err, fs.ErrNotExist) || err != nil && insist {
		return record{}, nil
	}
	if err != nil {
		return record{}, fmt.Errorf("open cursors: %w", err)
	}
	defer f.Close()
	c := &cursorFile{file: f}
	return c.read(insist)
}

// prepare makes sure that writing does not fail for want of room, and that what was read stays.
func (c *cursorFile) prepare() error {
	if size, err := c.file.Size(); err == nil && size < 2*recordSlot {
		if err := c.file.Reserve(2 * recordSlot); err != nil {
			return fmt.Errorf("reserve cursors: %w", err)
		}
	}
	if c.synced && c.newest > 0 { // a killed process may not have come to it
		if err := c.file.Sync(); err != nil {
			return fmt.Errorf("sync cursors: %w", err)
		}
	}
	return nil
}

func (c *cursorFile) read(insist bool) (newest record, err error) {
	b := make([]byte, recordSlot)
	for i := range int64(2) {
		n, err := c.file.ReadAt(b, i*recordSlot)
		if err != nil && err != io.EOF && !insist {
			return record{}, fmt.Errorf("read cursors: %w", err)
		}
		if r, err := parseRecord(b[:n]); err == nil && r.generation >= newest.generation {
			newest, c.newest, c.safe = r, r.generation, i
		}
	}
	return newest, nil
}

// write puts a record where no safe one is. Only whole pages are written, and no more than needed.
func (c *cursorFile) write(r *record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.generation < c.newest {
		return nil
	}
	place := 1 - c.safe
	c.buf = r.append(c.buf[:0])
	c.buf = append(c.buf, make([]byte, pages(int64(len(c.buf)))-int64(len(c.buf)))...)
	if _, err := c.file.WriteAt(c.buf, place*recordSlot); err != nil {
		return fmt.Errorf("write cursors: %w", err)
	}
	c.newest = r.generation
	if c.unsynced = c.synced; !c.synced {
		c.safe = place
	}
	return nil
}

// sync makes the newest record safe.
func (c *cursorFile) sync() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.unsynced {
		return nil
	}
	if err := c.file.Sync(); err != nil {
		return fmt.Errorf("sync cursors: %w", err)
	}
	c.safe, c.unsynced = 1-c.safe, false
	return nil
}
