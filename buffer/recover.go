package buffer

import (
	"time"

	"headend-agent/internal/metric"
)

// openTail opens the tail, or says why there is none.
func (b *Buffer) openTail(runtime string) *tail {
	dir, err := tailDir(b.fs, runtime, b.cfg.Path)
	if err == nil {
		var t *tail
		if t, err = openTail(b.fs, dir); err == nil {
			b.tailDir = dir
			return t
		}
		b.count(err)
	}
	b.log.Warn("buffer: no tail; a kill may cost what is not delivered", "error", err)
	return nil
}

// recoverTail takes in what the tail has beyond the disk.
func (b *Buffer) recoverTail(t *tail) {
	books := map[uint32]*book{}
	lists := map[listID][]metric.Ref{}
	var blocks *segment
	take := func(h header, payload []byte) {
		switch h.kind {
		case kindBook:
			k := books[h.book]
			if k == nil {
				k = &book{}
				books[h.book] = k
			}
			if section, _, err := new(unpacker).cut(payload, nil, maxBookBytes); err == nil {
				err = k.extend(section, b.table)
				if err != nil {
					b.disk.damaged++
				}
			}
			if blocks == nil || len(blocks.blocks) > 0 {
				blocks = &segment{slot: noSlot}
			}
			blocks.add(frame{header: h, payload: payload}, time.Time{})
		case kindBlock:
			b.recoverBlock(blocks, h, payload)
		case kindRound:
			k := books[h.book]
			if k == nil {
				b.disk.damaged++
				return
			}
			r, err := parseRound(&h, payload, k)
			if err != nil {
				b.disk.damaged++
				return
			}
			id := listID{h.book, r.list}
			if lists[id] == nil {
				for _, n := range k.lists[r.list] {
					lists[id] = append(lists[id], k.series[n])
				}
			}
			b.recoverRound(r, lists[id])
		}
	}
	if err := t.read(take); err != nil {
		b.count(err)
		b.log.Warn("buffer: the tail cannot be read to its end", "error", err)
	}
}

type listID struct{ book, list uint32 }

// recoverBlock takes in a block that was in memory only.
func (b *Buffer) recoverBlock(s *segment, h header, payload []byte) {
	if s == nil || len(s.blocks) == 0 && !h.key {
		b.disk.damaged++
		return
	}
	if len(s.blocks) == 0 {
		b.closeSegment()
		for n := len(b.segments); n > 0 && b.segments[n-1].end() > h.seq; n = len(b.segments) { // the tail has it all
			if b.segments[n-1].cutFrom(h.seq); len(b.segments[n-1].blocks) > 0 {
				break
			}
			b.remove(b.segments[n-1])
		}
		b.segments = append(b.segments, s)
		for i := range s.dicts {
			b.memory += len(s.dicts[i].payload)
		}
	}
	s.add(frame{header: h, payload: payload}, arrived(h.minMs, b.wall()))
	b.memory += len(payload)
	b.next = s.end()
}

// beyond tells whether a sample is after all that there is.
func (b *Buffer) beyond(seq uint64) bool {
	if n := len(b.segments); n > 0 && seq < b.segments[n-1].end() {
		b.verify(seq)
		n = len(b.segments)
		return n == 0 || seq >= b.segments[n-1].end()
	}
	return seq >= b.next
}

// verify drops the blocks on disk from seq on, should one of them be damaged: the tail has them all.
func (b *Buffer) verify(seq uint64) {
	n := len(b.segments) - 1
	s := b.segments[n]
	for i := s.find(seq); i < len(s.blocks); i++ {
		if s.blocks[i].payload != nil {
			continue
		}
		if _, _, err := readFrame(b.disk.ring.slots[s.slot].file, &s.blocks[i], nil); err != nil {
			b.disk.damaged++
			if s.cutFrom(s.blocks[i].seq); len(s.blocks) == 0 {
				b.remove(s)
			}
			return
		}
	}
}

func (b *Buffer) recoverRound(r round, refs []metric.Ref) {
	if !b.beyond(r.seq) {
		return
	}
	list, ok := b.book.find(refs)
	if !ok {
		if list, ok = b.enterInto(refs); !ok {
			b.disk.damaged++
			return
		}
	}
	r.list = list
	at := time.Now()
	if !r.unset {
		at = arrived(r.timeMs, b.wall())
	}
	b.keep(hotRound{r, at})
	b.bound()
}

// unsaved are the segments that are not on disk, or not all.
func (b *Buffer) unsaved() (list []*segment) {
	for _, s := range b.segments {
		if !s.saved() {
			list = append(list, s)
		}
	}
	return list
}
