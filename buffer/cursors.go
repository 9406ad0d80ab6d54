package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"headend-agent/internal/metric"
)

// record is what the buffer remembers beside the samples. It is advice: without it samples come twice, none are lost.
type record struct {
	generation uint64 // the newest record holds
	next       uint64 // number of the next sample
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
	gaps   []span // before that, what is not
	unsure []span // batches that may have been sent
}

// span is a range of sample numbers, to excluded.
type span struct{ from, to uint64 }

// Bounds of a record.
const (
	recordMagic = 0x48454143
	recordHead  = 32
	recordSlot  = 32 << 10
	maxCursors  = 64
	maxGaps     = 16
	maxUnsure   = 8
	maxNote     = 256
	maxEpochs   = 512
)

var errRecord = errors.New("cursors do not follow the format")

// append appends the record in its slot's form. Destinations beyond what fits are left out: their samples come twice.
func (r *record) append(dst []byte) []byte {
	for n := min(len(r.cursors), maxCursors); ; n-- {
		if b := r.appendWith(dst, r.cursors[:n]); len(b)-len(dst) <= recordSlot || n == 0 {
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
		for _, list := range [][]span{c.gaps, c.unsure} {
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
	r.generation, r.next = le.Uint64(b[8:]), in.uvarint()
	for range in.count(9) {
		r.epochs = append(r.epochs, epochOffset{metric.Epoch(in.uint64()), in.varint()})
	}
	for range in.count(6) {
		c := cursor{name: in.text(), note: in.text(), seen: in.varint(), live: in.uvarint()}
		for _, list := range []*[]span{&c.gaps, &c.unsure} {
			for range in.count(2) {
				from, n := in.uvarint(), in.uvarint()
				*list = append(*list, span{from, from + n})
			}
		}
		if !c.plausible() {
			return r, errRecord
		}
		r.cursors = append(r.cursors, c)
	}
	if in.err != nil || r.next > 1<<62 {
		return r, errRecord
	}
	return r, nil
}

// plausible tells whether a cursor's ranges are in order.
func (c *cursor) plausible() bool {
	last := uint64(0)
	for _, g := range c.gaps {
		if g.from < last || g.to <= g.from {
			return false
		}
		last = g.to
	}
	return last <= c.live && c.live <= 1<<62 && len(c.gaps) <= maxGaps && len(c.unsure) <= maxUnsure &&
		!slices.ContainsFunc(c.unsure, func(s span) bool { return s.to <= s.from })
}

// oldest is the number of the first sample that the destination has not got.
func (c *cursor) oldest() uint64 {
	if len(c.gaps) > 0 {
		return c.gaps[0].from
	}
	return c.live
}

// cursorFile holds the newest two records.
type cursorFile struct {
	file File

	mu     diskLock
	buf    []byte
	newest uint64 // generation written
	place  int64  // of it: 0 or 1
}

func openCursors(fsys FS, name string, write bool) (*cursorFile, error) {
	f, err := fsys.Open(name, write, write)
	if err != nil {
		return nil, fmt.Errorf("open cursors: %w", err)
	}
	if write { // so that a full disk does not get in the way later
		if size, err := f.Size(); err == nil && size < 2*recordSlot {
			if err := f.Reserve(2 * recordSlot); err != nil {
				f.Close()
				return nil, fmt.Errorf("reserve cursors: %w", err)
			}
		}
	}
	return &cursorFile{file: f, mu: make(diskLock, 1)}, nil
}

// read returns the newest record that is whole, or an empty one.
func (c *cursorFile) read() (newest record) {
	b := make([]byte, recordSlot)
	for i := range int64(2) {
		n, _ := c.file.ReadAt(b, i*recordSlot)
		if r, err := parseRecord(b[:n]); err == nil && r.generation >= newest.generation {
			newest, c.place = r, i
		}
	}
	return newest
}

// write puts a record over the older one. Only whole pages are written, and no more than needed.
func (c *cursorFile) write(r *record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.generation < c.newest {
		return nil
	}
	c.newest, c.place = r.generation, 1-c.place
	c.buf = r.append(c.buf[:0])
	c.buf = append(c.buf, make([]byte, pages(int64(len(c.buf)))-int64(len(c.buf)))...)
	if _, err := c.file.WriteAt(c.buf, c.place*recordSlot); err != nil {
		return fmt.Errorf("write cursors: %w", err)
	}
	return nil
}
