package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// tail is what survives a kill: a copy, on a file system in memory, of all that is neither acknowledged nor on disk. It is a log of
// frames, each written before Append returns. What it says of series needs nothing else to be read.
type tail struct {
	fs      FS
	dir     string
	lock    File
	cursors *cursorFile
	log     File
	buf     []byte

	size   int64
	book   uint32 // whose dictionary is in the log,
	marked mark   // and how much of it
	base   int64  // the log begins with so much of nothing but that dictionary,
	basis  mark   // which is this much of it
	lost   uint64 // samples that had to be cut off
}

const (
	tailLimit = 8 << 20
	tailSlack = 1 << 20 // of the log, before it is rewritten
)

var errNoTail = errors.New("there is no directory on a file system in memory")

// tailDir finds the directory of the tail for the ring at path: in runtime, which systemd makes, or in the user's.
func tailDir(fsys FS, runtime, path string) (string, error) {
	first, _, _ := strings.Cut(runtime, ":")
	for _, dir := range []string{first, filepath.Join("/run/user", strconv.Itoa(os.Getuid()))} {
		if dir != "" && fsys.InMemory(dir) {
			if abs, err := filepath.Abs(path); err == nil {
				path = abs
			}
			h := fnv.New64a()
			h.Write([]byte(path))
			return filepath.Join(dir, "headend-agent", fmt.Sprintf("tail-%016x", h.Sum64())), nil
		}
	}
	return "", errNoTail
}

func openTail(fsys FS, dir string) (*tail, error) {
	t := &tail{fs: fsys, dir: dir}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("make directory of the tail: %w", err)
	}
	var err error
	if t.lock, err = fsys.Open(filepath.Join(dir, "lock"), true, true); err != nil {
		return nil, fmt.Errorf("open lock of the tail: %w", err)
	}
	if err := t.lock.Lock(); err != nil {
		t.lock.Close()
		return nil, fmt.Errorf("tail: %w", lockError(err))
	}
	if t.cursors, err = openCursors(fsys, filepath.Join(dir, "cursors"), true); err == nil {
		if t.log, err = fsys.Open(t.name(), true, true); err == nil {
			return t, nil
		}
		t.cursors.file.Close()
	}
	t.lock.Close()
	return nil, fmt.Errorf("open tail: %w", err)
}

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

// newestBook returns the greatest number of a dictionary in the log.
func (t *tail) newestBook() (id uint32) {
	t.read(func(h header, _ []byte) { id = max(id, h.book) }) // an error comes again when it is read in earnest
	return id
}

// append writes a round, and what it needs of the dictionary before it.
func (t *tail) append(k *book, pack *packer, r *round) error {
	t.buf = t.buf[:0]
	grown := t.size == t.base
	if t.book != k.id {
		t.book, t.marked = k.id, mark{}
	}
	if m := k.mark(); m != t.marked {
		t.buf = appendFrame(t.buf, header{kind: kindBook, book: k.id}, func(b []byte) []byte { return pack.appendBook(b, k, t.marked) })
		if grown {
			t.base, t.basis = t.size+int64(len(t.buf)), m
		}
		t.marked = m
	}
	t.buf = appendRound(t.buf, k.id, r)
	if _, err := t.log.WriteAt(t.buf, t.size); err != nil {
		return fmt.Errorf("write tail: %w", err)
	}
	t.size += int64(len(t.buf))
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

// restart empties the log, but for the dictionary that the next rounds need.
func (t *tail) restart(k *book) error {
	if t.book != k.id {
		t.book, t.base, t.basis = k.id, 0, mark{}
	}
	if t.size == t.base {
		return nil
	}
	if err := t.log.Truncate(t.base); err != nil {
		return fmt.Errorf("cut tail: %w", err)
	}
	t.size, t.marked = t.base, t.basis
	return nil
}

// rewrite puts a new log in the place of the old one: with the blocks of segments, then with rounds of k.
func (t *tail) rewrite(segments []*segment, k *book, pack *packer, rounds []hotRound) error {
	name := t.name() + ".new"
	f, err := t.fs.Open(name, true, true)
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		return fmt.Errorf("rewrite tail: %w", err)
	}
	old := *t
	t.log, t.size, t.base, t.basis, t.marked, t.book = f, 0, 0, mark{}, mark{}, k.id
	for _, s := range segments {
		for _, list := range [][]frame{s.dicts, s.needed()} {
			for i := range list {
				if err == nil && list[i].payload != nil {
					err = t.copy(&list[i])
				}
			}
		}
	}
	for i := range rounds {
		if err == nil {
			err = t.append(k, pack, &rounds[i].round)
		}
	}
	if err == nil {
		err = t.fs.Rename(name, t.name())
	}
	if err != nil {
		f.Close()
		old.buf, old.lost = t.buf, t.lost
		*t = old
		return fmt.Errorf("rewrite tail: %w", err)
	}
	old.log.Close()
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
