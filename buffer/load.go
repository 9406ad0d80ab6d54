package buffer

import (
	"errors"
	"slices"

	"headend-agent/internal/metric"
)

// block is a block and all that is needed to read it, as they were when it was looked up.
type block struct {
	segment *segment // to tell it from others
	slot    *slot    // where what is not in memory is; nil: all is in memory,
	file    File     // and its file
	dicts   []frame
	chain   []frame // from its key block to itself
	table   *metric.Table
}

// at returns the block's own header.
func (k *block) at() *header { return &k.chain[len(k.chain)-1].header }

// keeps tells whether a block that was looked up is still where it was.
func (b *Buffer) keeps(k *block) bool {
	if !slices.Contains(b.segments, k.segment) {
		return false
	}
	i := k.segment.find(k.at().seq)
	return i < len(k.segment.blocks) && k.segment.blocks[i].header == *k.at()
}

// block looks a block up.
func (b *Buffer) block(s *segment, i int) block {
	k := block{segment: s, dicts: append([]frame(nil), s.dicts...), chain: append([]frame(nil), s.blocks[s.key(i):i+1]...), table: b.table}
	if s.slot != nil {
		k.slot, k.file = s.slot, s.slot.file
	}
	return k
}

// loader reads blocks, mostly one after the other.
type loader struct {
	reader  blockReader
	buf     []byte
	book    *book // of a segment that is not written in a living book
	owner   *segment
	id      uint32 // of book, in owner
	loads   uint32
	chain   *segment // whose blocks the reader is in,
	done    uint64   // up to this number,
	started uint64   // from this key block on,
	last    []round  // which were the rounds of the last block
}

// loadedBook is the least name of books that were read for a batch: those of two segments may have been written under one name.
const loadedBook = 1 << 31

// rounds returns the rounds of a block, valid until the next call, and the book they are written in: living, unless that is nil. It
// may be asked for any block, also for one before the last.
func (l *loader) rounds(k *block, living *book) (*book, []round, error) {
	h := k.at()
	if living == nil {
		if err := l.read(k); err != nil {
			return nil, nil, err
		}
		living = l.book
	}
	if l.chain == k.segment && l.done == h.end() && len(l.last) > 0 && l.last[0].seq == h.seq {
		return living, l.last, nil
	}
	if !k.chain[0].key {
		return nil, nil, errBlock
	}
	if l.done >= h.end() {
		l.chain = nil // the columns have gone on: what is read again is decoded again
	}
	for i := range k.chain {
		f := &k.chain[i]
		if i > 0 && f.seq != k.chain[i-1].end() {
			return nil, nil, errBlock // one between is missing
		}
		if l.chain == k.segment && l.started == k.chain[0].seq && f.end() <= l.done {
			continue
		}
		if err := l.decode(k, f, living); err != nil {
			l.chain = nil
			return nil, nil, err
		}
		l.chain, l.done, l.started = k.segment, f.end(), k.chain[0].seq
	}
	return living, l.last, nil
}

func (l *loader) decode(k *block, f *frame, living *book) error {
	payload, err := l.payload(k, f)
	if err != nil {
		return err
	}
	l.last, err = l.reader.decode(payload, living, f.key, f.seq, int(f.samples))
	return err
}

// payload returns a frame's payload, from memory or from disk.
func (l *loader) payload(k *block, f *frame) (b []byte, err error) {
	if f.payload != nil {
		return f.payload, nil
	}
	if k.file == nil {
		return nil, errFrame
	}
	if l.buf, b, err = readFrame(k.file, f, l.buf); errors.Is(err, errUnreadable) && k.slot != nil {
		l.buf, b, err = k.slot.readAgain(f, l.buf)
	}
	return b, err
}

// read reads the dictionary of the block's segment, unless it is that of the last one.
func (l *loader) read(k *block) error {
	if l.owner == k.segment && l.id == k.at().book {
		return nil
	}
	l.loads++
	l.owner, l.chain, l.book = nil, nil, &book{id: loadedBook + l.loads}
	for i := range k.dicts {
		if k.dicts[i].book != k.at().book {
			continue
		}
		packed, err := l.payload(k, &k.dicts[i])
		if err != nil {
			return err
		}
		section, _, err := l.reader.unpack.cut(packed, nil, maxBookBytes)
		if err == nil {
			err = l.book.extend(section, k.table)
		}
		if err != nil {
			return err
		}
	}
	l.owner, l.id = k.segment, k.at().book
	return nil
}
