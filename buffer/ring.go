package buffer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ring is the directory on disk: slots of one size, each made once and then overwritten in place. It knows files and frames, not
// what is in them. Slots are written by one goroutine; they are read by any.
type ring struct {
	fs    FS
	dir   string // of this version of the format
	lock  File
	write bool
	max   int // slots that the configured size allows
	slots []*slot
}

type slot struct {
	file File // nil where there is none yet
	bad  bool // it has failed, and is left alone
	held bool // a segment has its data in it
}

const slotSize = 1 << 20

var (
	errInUse = errors.New("another agent uses it")
	errNewer = errors.New("a newer version of the agent has written there")
)

// openRing opens the directory for writing, or where that cannot be, for reading; it is nil where not even that can be. The error
// is why it is not writable.
func openRing(fsys FS, path string, size int64) (*ring, error) {
	r := &ring{fs: fsys, dir: filepath.Join(path, "v"+strconv.Itoa(formatVersion)), max: int(size / slotSize)}
	names, err := fsys.Names(path)
	if err == nil && slices.ContainsFunc(names, newer) {
		return nil, errNewer
	}
	err = r.open(true)
	if errors.Is(err, errInUse) {
		return nil, err
	}
	if err != nil {
		if r.open(false) != nil {
			return nil, err
		}
		return r, err
	}
	if r.max < 2 {
		r.write = false
		return r, fmt.Errorf("size: a ring needs two slots of %d bytes", slotSize)
	}
	return r, nil
}

func newer(name string) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "v"))
	return err == nil && strings.HasPrefix(name, "v") && n > formatVersion
}

func (r *ring) open(write bool) (err error) {
	r.write = write
	if write {
		if err := r.makeDir(); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	}
	r.lock, err = r.fs.Open(filepath.Join(r.dir, "lock"), write, write)
	if err != nil {
		return fmt.Errorf("open lock: %w", err)
	}
	if err := r.lock.Lock(); err != nil {
		r.lock.Close()
		return lockError(err)
	}
	names, err := r.fs.Names(r.dir)
	if err != nil {
		r.close()
		return fmt.Errorf("read directory: %w", err)
	}
	for _, name := range names {
		if i, ok := slotNumber(name); ok {
			r.openSlot(i)
		}
	}
	return nil
}

func lockError(err error) error {
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errInUse
	}
	return fmt.Errorf("lock: %w", err)
}

// makeDir makes the directory last, where it is not there yet.
func (r *ring) makeDir() error {
	if _, err := r.fs.Names(r.dir); err == nil {
		return nil
	}
	if err := r.fs.MkdirAll(r.dir); err != nil {
		return err
	}
	path := filepath.Dir(r.dir)
	return errors.Join(r.fs.SyncDir(path), r.fs.SyncDir(filepath.Dir(path)))
}

// maxSlots bounds what names of files may ask for.
const maxSlots = 1 << 16

func slotName(i int) string { return fmt.Sprintf("slot-%04d", i) }

func slotNumber(name string) (int, bool) {
	i, err := strconv.Atoi(strings.TrimPrefix(name, "slot-"))
	return i, err == nil && i >= 0 && i < maxSlots && name == slotName(i)
}

// openSlot opens a slot that is there. One that cannot be used stays out of the ring.
func (r *ring) openSlot(i int) {
	f, err := r.fs.Open(filepath.Join(r.dir, slotName(i)), r.write, false)
	if err != nil {
		r.slot(i).bad = true
		return
	}
	size, err := f.Size()
	if err != nil || size == 0 { // the making of it was cut short: it is made again
		f.Close()
		return
	}
	r.slot(i).file = f
	if size < slotSize && r.write {
		r.slot(i).bad = f.Reserve(slotSize) != nil
	}
}

func (r *ring) slot(i int) *slot {
	for len(r.slots) <= i {
		r.slots = append(r.slots, &slot{})
	}
	return r.slots[i]
}

// usable counts the slots that can be written.
func (r *ring) usable() (n int) {
	for _, s := range r.slots {
		if s.file != nil && !s.bad {
			n++
		}
	}
	return n
}

// make makes a slot: from then on nothing but its content changes.
func (r *ring) make(i int) error {
	name := filepath.Join(r.dir, slotName(i))
	f, err := r.fs.Open(name, true, true)
	if err != nil {
		return fmt.Errorf("make slot: %w", err)
	}
	err = f.Reserve(slotSize)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = r.fs.SyncDir(r.dir)
	}
	if err != nil {
		f.Close()
		return errors.Join(fmt.Errorf("make slot: %w", err), ignoreMissing(r.fs.Remove(name)))
	}
	r.slot(i).file = f
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// scan reads the headers of a slot: the frames of its newest lap, in order. It steps over damage, which it counts.
func scanSlot(f File) (frames []frame, damaged int) {
	b := make([]byte, headerSize)
	for off := int64(0); off < slotSize; {
		if _, err := f.ReadAt(b, off); err == io.EOF {
			break
		} else if err != nil {
			damaged++
			off += pageSize
			continue
		}
		h, err := parseHeader(b)
		if err != nil || off+headerSize+int64(h.size) > slotSize || h.kind == kindRound {
			off += pageSize
			continue
		}
		fr := frame{header: h, off: off, saved: true}
		if n := len(frames); n > 0 && h.lap == frames[n-1].lap && frames[n-1].off+frames[n-1].room() != off {
			damaged++
		}
		frames = append(frames, fr)
		off += fr.room()
	}
	var lap uint64
	for i := range frames {
		lap = max(lap, frames[i].lap)
	}
	return slices.DeleteFunc(frames, func(f frame) bool { return f.lap != lap }), damaged
}

// readFrame returns the payload of a frame, in memory of buf. It fails where something else is in its place.
func readFrame(file File, f *frame, buf []byte) (memory, payload []byte, err error) {
	buf = grow(buf, headerSize+int(f.size))
	if _, err := file.ReadAt(buf, f.off); err != nil {
		return buf, nil, fmt.Errorf("read frame: %w", err)
	}
	if h, err := parseHeader(buf); err != nil || h != f.header || checksum(buf[headerSize:]) != h.crc {
		return buf, nil, errFrame
	}
	return buf, buf[headerSize:], nil
}

// close gives the directory up.
func (r *ring) close() {
	for _, s := range r.slots {
		if s.file != nil {
			s.file.Close()
		}
	}
	r.lock.Close()
}
