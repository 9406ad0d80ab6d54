package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// tail is the WAL, which survives a kill: a copy, on a file system in memory, of all that is neither acknowledged nor on disk. It is a
// log of frames, each written before Append returns. What it says of series needs nothing else to be read.
type tail struct {
	fs      FS
	dir     string
	lock    File
	cursors *cursorFile
	log     File
	buf     []byte

	size   int64
	dict   logDict
	lost   uint64 // samples that had to be cut off
	broken bool   // a write has failed: the log takes nothing until it is rewritten. The cursors, which have their room, are still kept
}

// logDict is what the log says of one dictionary. It is replaced whole when another one begins, and when the log is cut: what is
// known of one dictionary is never applied to another.
type logDict struct {
	id  uint32
	has mark // so much of it is in the log

	// The log begins with so many bytes of this dictionary alone; they say so much of it. A cut leaves them.
	head   int64
	atHead mark
}

const (
	tailLimit = 8 << 20
	tailSlack = 1 << 20 // of the log, before it is rewritten
)

var errNoTail = errors.New("there is no directory on a file system in memory")

// tailDir finds the directory of the tail for the ring at path: in runtime, which systemd makes, or in the user's; "" where neither is
// in memory.
func tailDir(fsys FS, runtime, path string) string {
	first, _, _ := strings.Cut(runtime, ":")
	for _, dir := range []string{first, filepath.Join("/run/user", strconv.Itoa(os.Getuid()))} {
		if dir != "" && fsys.InMemory(dir) {
			if abs, err := filepath.Abs(path); err == nil {
				path = abs
			}
			h := fnv.New64a()
			h.Write([]byte(path))
			return filepath.Join(dir, "headend-agent", fmt.Sprintf("tail-%016x", h.Sum64()))
		}
	}
	return ""
}

// openTail opens the WAL in a directory, and returns the newest record in it. known tells, where that fails, that nothing is there.
func openTail(fsys FS, dir string) (t *tail, r record, known bool, err error) {
	names, err := fsys.Names(dir)
	known = len(names) == 0 && (err == nil || errors.Is(err, fs.ErrNotExist))
	t = &tail{fs: fsys, dir: dir}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, r, known, fmt.Errorf("make directory of the tail: %w", err)
	}
	if t.lock, err = fsys.Open(t.lockName(), true, true); err != nil {
		return nil, r, known, fmt.Errorf("open lock of the tail: %w", err)
	}
	if err := t.lock.Lock(); err != nil {
		t.lock.Close()
		return nil, r, known, fmt.Errorf("tail: %w", lockError(err))
	}
	if t.cursors, r, err = openCursors(fsys, filepath.Join(dir, "cursors"), false); err == nil {
		if t.log, err = fsys.Open(t.name(), true, true); err == nil {
			return t, r, true, nil
		}
		t.cursors.file.Close()
	}
	t.lock.Close()
	return nil, r, known, fmt.Errorf("open tail: %w", err)
}

func (t *tail) lockName() string { return filepath.Join(t.dir, "lock") }

// gone tells whether the directory has been deleted or moved.
func (t *tail) gone() bool { return lockGone(t.fs, t.lockName()) }

func (t *tail) name() string { return filepath.Join(t.dir, "rounds") }

// read yields the frames of the log, up to the first that is not whole.
func (t *tail) read(yield func(header, []byte)) error {
	size, err := t.log.Size()
	if err != nil {
		return fmt.Errorf("read tail: %w", err)
	}
	b := make([]byte, headerSize)
	for off := int64(0); off+headerSize <= size; {
		if _, err := t.log.ReadAt(b, off); err != nil {
			return fmt.Errorf("read tail: %w", err)
		}
		h, err := parseHeader(b)
		if err != nil || off+headerSize+int64(h.size) > size {
			break
		}
		payload := make([]byte, h.size)
		if _, err := t.log.ReadAt(payload, off+headerSize); err != nil {
			return fmt.Errorf("read tail: %w", err)
		}
		if checksum(payload) != h.crc {
			break
		}
		yield(h, payload)
		off += headerSize + int64(h.size)
	}
	return nil
}

// survey returns the greatest name of a dictionary in the log, and the number after that of the last sample; 0 where there is none.
func (t *tail) survey() (book uint32, end uint64) {
	t.read(func(h header, _ []byte) { // an error comes again when it is read in earnest
		if book = max(book, h.book); h.kind != kindBook {
			end = h.end()
		}
	})
	return book, end
}

// append writes a round, and what the log lacks of its dictionary before it.
func (t *tail) append(k *book, pack *packer, r *round) error {
	t.buf = t.buf[:0]
	dict := t.dict
	if dict.id != k.id {
		dict = logDict{id: k.id}
	}
	if m := k.mark(); m != dict.has {
		t.buf = appendFrame(t.buf, header{kind: kindBook, book: k.id}, func(b []byte) []byte { return pack.appendBook(b, k, dict.has) })
		if dict.has = m; t.size == dict.head {
			dict.head, dict.atHead = t.size+int64(len(t.buf)), m
		}
	}
	t.buf = appendRound(t.buf, k.id, r)
	if _, err := t.log.WriteAt(t.buf, t.size); err != nil {
		return fmt.Errorf("write tail: %w", err)
	}
	t.size, t.dict = t.size+int64(len(t.buf)), dict
	return nil
}

func appendFrame(dst []byte, h header, payload func([]byte) []byte) []byte {
	at := len(dst)
	dst = payload(append(dst, make([]byte, headerSize)...))
	p := dst[at+headerSize:]
	h.size, h.crc = uint32(len(p)), checksum(p)
	h.put(dst[at:])
	return dst
}

func appendRound(dst []byte, book uint32, r *round) []byte {
	h := header{kind: kindRound, book: book, seq: r.seq, samples: uint32(len(r.values)), rounds: 1, minMs: r.timeMs, maxMs: r.timeMs}
	return appendFrame(dst, h, func(b []byte) []byte {
		b = appendRounds(b, []round{*r})
		for _, v := range r.values {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		return b
	})
}

// parseRound is the reverse of appendRound. k is the dictionary that came before.
func parseRound(h *header, payload []byte, k *book) (round, error) {
	in := &reading{b: payload}
	rounds := readRounds(in, nil)
	if in.err != nil || len(rounds) != 1 || int(rounds[0].list) >= len(k.lists) {
		return round{}, errBlock
	}
	r := rounds[0]
	if n := len(k.lists[r.list]); n != int(h.samples) || len(in.b) != 8*n {
		return round{}, errBlock
	}
	r.seq, r.values = h.seq, make([]float64, h.samples)
	for i := range r.values {
		r.values[i] = math.Float64frombits(in.uint64())
	}
	return r, nil
}

// cut empties the log, but for what it begins with of the dictionary that the next rounds need. Nothing that is pending may need it.
func (t *tail) cut(k *book) error {
	dict := t.dict
	if dict.id != k.id {
		dict = logDict{id: k.id}
	}
	if t.size != dict.head || t.broken { // a write that failed may have left something behind
		if err := t.log.Truncate(dict.head); err != nil {
			return fmt.Errorf("cut tail: %w", err)
		}
	}
	dict.has = dict.atHead
	t.size, t.dict = dict.head, dict
	return nil
}

// rewrite puts a new log in the place of the old one: with the blocks of segments, then with rounds of k.
func (t *tail) rewrite(segments []*segment, k *book, pack *packer, rounds []hotRound) error {
	name := t.name() + ".new"
	f, err := t.fs.Open(name, true, true)
	if err != nil {
		return fmt.Errorf("rewrite tail: %w", err)
	}
	fresh := &tail{log: f, buf: t.buf}
	err = fresh.fill(segments, k, pack, rounds)
	if err == nil {
		err = t.fs.Rename(name, t.name())
	}
	t.buf = fresh.buf
	if err != nil {
		f.Close()
		return errors.Join(fmt.Errorf("rewrite tail: %w", err), ignoreMissing(t.fs.Remove(name))) // it takes the room that there is too little of
	}
	t.log.Close()
	t.log, t.size, t.dict, t.broken = f, fresh.size, fresh.dict, false
	return nil
}

// fill writes an empty log.
func (t *tail) fill(segments []*segment, k *book, pack *packer, rounds []hotRound) error {
	if err := t.log.Truncate(0); err != nil { // what an attempt that failed has left
		return err
	}
	for _, s := range segments {
		for _, list := range [][]frame{s.dicts, s.needed()} {
			for i := range list {
				if list[i].payload == nil {
					continue
				}
				if err := t.copy(&list[i]); err != nil {
					return err
				}
			}
		}
	}
	for i := range rounds {
		if err := t.append(k, pack, &rounds[i].round); err != nil {
			return err
		}
	}
	return nil
}

func (t *tail) copy(f *frame) error {
	t.buf = appendFrame(t.buf[:0], f.header, func(b []byte) []byte { return append(b, f.payload...) })
	_, err := t.log.WriteAt(t.buf, t.size)
	t.size += int64(len(t.buf))
	return err
}

func (t *tail) close() {
	t.log.Close()
	t.cursors.file.Close()
	t.lock.Close()
}
