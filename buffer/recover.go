package buffer

import (
	"time"

	"headend-agent/internal/metric"
)

// openTail opens the WAL, or says why there is none.
func (b *Buffer) openTail(runtime string) (*tail, record) {
	dir := tailDir(b.fs, runtime, b.cfg.Path)
	b.tailDir = dir
	err := errNoTail
	if dir != "" {
		t, r, known, openErr := openTail(b.fs, dir)
		if openErr == nil {
			return t, r
		}
		b.count(openErr)
		b.tailUnread, err = !known, openErr
	}
	b.log.Warn("buffer: no tail; a kill may cost what is not delivered", "error", err)
	return nil, record{}
}

// provisional is the first number of samples while the disk, which may have some from before, cannot be read. When it can, they get
// numbers behind those. All others are less.
const provisional = 1 << 61

// beyondUnread is how much greater than all known numbers those are that follow while the WAL cannot be read: no boot sees so many
// samples.
const beyondUnread = 1 << 44

// void is the length of a range that no samples ever had: room was left there.
const void = beyondUnread / 2

// loadDisk takes in what earlier processes have left on disk.
func (b *Buffer) loadDisk(f *found) {
	b.segments = append(b.segments, f.segments...)
	b.nextLap = max(b.nextLap, f.nextLap)
	b.disk.damaged += f.damaged
	b.disk.end = b.end()
	b.record, b.next = f.record, b.disk.end
	b.book = newBook(f.book + 1)
}

// loadTail takes in what they have left in the WAL beyond that. It may be nil.
func (b *Buffer) loadTail(f *found, t *tail, logged record) {
	if t != nil {
		disk, shift := span{b.first(), max(b.disk.end, f.record.last())}, uint64(0)
		if f.readable && disk.to < provisional {
			shift = max(disk.to, logged.past) - provisional
		}
		b.record = f.record.merge(&logged, shift, disk)
		b.loadLog(t, shift)
	}
	b.next = max(b.next, b.record.last())
}

// loadLog takes in what the WAL has beyond the disk. Provisional numbers are moved by shift.
func (b *Buffer) loadLog(t *tail, shift uint64) {
	newest, end := t.survey()
	b.book.id = max(b.book.id, newest+1)
	if shifted(end, shift) < b.disk.end {
		return // the log had failed when the newest of the disk was written, and has nothing that the disk has not
	}
	l := logReader{b: b, books: map[uint32]*loggedBook{}, shift: shift}
	if err := t.read(l.take); err != nil {
		b.count(err)
		b.log.Warn("buffer: the tail cannot be read to its end", "error", err)
	}
}

// shifted moves a number if it is a provisional one.
func shifted(seq, shift uint64) uint64 {
	if seq >= provisional {
		return seq + shift
	}
	return seq
}

// logReader takes the frames of a log.
type logReader struct {
	b      *Buffer
	books  map[uint32]*loggedBook
	blocks *segment // of the dictionary frames and blocks that came last
	shift  uint64
}

// loggedBook is a dictionary as the log has it.
type loggedBook struct {
	book
	refs [][]metric.Ref // of the lists that rounds had; nil where none had it yet
}

func (l *logReader) take(h header, payload []byte) {
	h.seq = shifted(h.seq, l.shift)
	switch h.kind {
	case kindBook:
		l.takeBook(h, payload)
	case kindBlock:
		l.b.recoverBlock(l.blocks, h, payload)
	case kindRound:
		k := l.books[h.book]
		if k == nil {
			l.b.disk.damaged++
			return
		}
		r, err := parseRound(&h, payload, &k.book)
		if err != nil {
			l.b.disk.damaged++
			return
		}
		l.b.recoverRound(r, k.list(r.list))
	}
}

func (l *logReader) takeBook(h header, payload []byte) {
	if section, _, err := new(unpacker).cut(payload, nil, maxBookBytes); err == nil {
		k := l.books[h.book]
		if k == nil || beginsBook(section) { // a segment of another process may have had one of the same name
			k = &loggedBook{}
			l.books[h.book] = k
		}
		err = k.extend(section, l.b.table)
		if err != nil {
			l.b.disk.damaged++
		}
	}
	if l.blocks == nil || len(l.blocks.blocks) > 0 {
		l.blocks = &segment{}
	}
	l.blocks.add(frame{header: h, payload: payload}, time.Time{})
}

func (k *loggedBook) list(n uint32) []metric.Ref {
	for len(k.refs) < len(k.lists) {
		k.refs = append(k.refs, nil)
	}
	if k.refs[n] == nil {
		for _, id := range k.lists[n] {
			k.refs[n] = append(k.refs[n], k.series[id])
		}
	}
	return k.refs[n]
}

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
		if _, _, err := readFrame(s.slot.file, &s.blocks[i], nil); err != nil {
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
