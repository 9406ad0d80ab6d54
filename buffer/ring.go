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
	"time"
)

// ring is the directory on disk, open: its lock, its slots, each made once and then overwritten in place, and its records of cursors.
// It is whole, for writing or for reading only; where a part of it cannot be opened there is none. It knows files and frames, not
// what is in them.
type ring struct {
	fs    FS
	dir   string // of this version of the format
	max   int    // slots that the configured size allows
	lock  File   // held from the opening on, however the rest is open: a second descriptor could not take it
	began uint64 // samples before this number have never been in it: the directory is younger. 0 where that is not known

	// Changed under b.io and b.mu; read under either.
	write   bool
	slots   []*slot
	cursors *cursorFile // nil where the ring is for reading only
}

// slot is one file of a ring. It is written by one goroutine; it is read by any.
type slot struct {
	ring  *ring
	index int
	file  File // nil where there is none yet
	bad   bool // it has failed, and is left alone
	held  bool // a segment has its data in it
}

const slotSize = 1 << 20

var (
	errInUse = errors.New("another agent uses it")
	errNewer = errors.New("a newer version of the agent has written there")
)

// openRing opens the directory for writing, or where that cannot be, for reading; it is nil where not even that can be, or where a
// part cannot be read now, unless insist: then such parts are passed over as damaged. The error is why it is not writable.
func openRing(fsys FS, path string, size int64, wall time.Time, insist bool) (*ring, found, error) {
	r := &ring{fs: fsys, dir: filepath.Join(path, "v"+strconv.Itoa(formatVersion)), max: int(size / slotSize)}
	names, err := fsys.Names(path)
	if err == nil && slices.ContainsFunc(names, newer) {
		return nil, found{}, errNewer
	}
	err = fmt.Errorf("size: a ring needs two slots of %d bytes", slotSize)
	if r.max >= 2 {
		var f found
		if f, err = r.open(true, wall, insist); err == nil {
			return r, f, nil
		}
	}
	if !errors.Is(err, errInUse) {
		if f, readErr := r.open(false, wall, insist); readErr == nil {
			return r, f, err
		}
	}
	r.close()
	return nil, found{}, err
}

func newer(name string) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "v"))
	return err == nil && strings.HasPrefix(name, "v") && n > formatVersion
}

// open opens all files. Where one of them fails only the lock stays open.
func (r *ring) open(write bool, wall time.Time, insist bool) (f found, err error) {
	if err := r.hold(write); err != nil {
		return f, err
	}
	defer func() {
		if err != nil {
			r.closeFiles()
		}
	}()
	names, err := r.fs.Names(r.dir)
	if err != nil {
		return f, fmt.Errorf("read directory: %w", err)
	}
	r.write = write
	for _, name := range names {
		if i, ok := slotNumber(name); ok {
			if err := r.openSlot(i); err != nil {
				if f.partly = true; !insist {
					return f, err
				}
			}
		}
	}
	if write {
		r.cursors, f.record, err = openCursors(r.fs, r.cursorsName(), insist)
	} else {
		f.record, err = readCursors(r.fs, r.cursorsName(), insist)
	}
	if err != nil {
		return f, err
	}
	err = f.scan(r, wall, insist)
	r.began = f.began
	return f, err
}

// hold locks the directory, once.
func (r *ring) hold(write bool) error {
	if r.lock != nil {
		return nil
	}
	if write {
		if err := r.makeDir(); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	}
	lock, err := r.fs.Open(r.lockName(), write, write)
	if err != nil {
		return fmt.Errorf("open lock: %w", err)
	}
	if err := lock.Lock(); err != nil {
		lock.Close()
		return lockError(err)
	}
	r.lock = lock
	return nil
}

func lockError(err error) error {
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errInUse
	}
	return fmt.Errorf("lock: %w", err)
}

// gone tells whether the path leads to this directory no more: it has been moved, or deleted, and perhaps another one is in its place.
// As long as the lock's file is our own, it cannot be locked a second time.
func (r *ring) gone() bool { return lockGone(r.fs, r.lockName()) }

func lockGone(fsys FS, name string) bool {
	f, err := fsys.Open(name, false, false)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	}
	defer f.Close()
	return f.Lock() == nil
}

func (r *ring) lockName() string    { return filepath.Join(r.dir, "lock") }
func (r *ring) cursorsName() string { return filepath.Join(r.dir, "cursors") }

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

func (x *slot) name() string { return filepath.Join(x.ring.dir, slotName(x.index)) }

// openSlot opens a slot that is there. One that cannot be used stays out of the ring.
func (r *ring) openSlot(i int) error {
	x := r.slot(i)
	f, err := r.fs.Open(x.name(), r.write, false)
	if err != nil {
		x.bad = true
		return fmt.Errorf("open slot: %w", err)
	}
	size, err := f.Size()
	if err == nil && size == 0 { // the making of it was cut short: it is made again
		f.Close()
		return nil
	}
	x.file = f
	if size < slotSize && r.write {
		x.bad = f.Reserve(slotSize) != nil
	}
	return nil
}

// slot returns a slot, which may have no file yet.
func (r *ring) slot(i int) *slot {
	for len(r.slots) <= i {
		r.slots = append(r.slots, &slot{ring: r, index: len(r.slots)})
	}
	return r.slots[i]
}

// usable counts the slots that can be written.
func (r *ring) usable() (n int) {
	for _, x := range r.slots {
		if x.file != nil && !x.bad && x.index < r.max {
			n++
		}
	}
	return n
}

// makeFile makes the file of a slot: from then on nothing but its content changes.
func (r *ring) makeFile(i int) (File, error) {
	name := filepath.Join(r.dir, slotName(i))
	f, err := r.fs.Open(name, true, true)
	if err != nil {
		return nil, fmt.Errorf("make slot: %w", err)
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
		return nil, errors.Join(fmt.Errorf("make slot: %w", err), ignoreMissing(r.fs.Remove(name)))
	}
	return f, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// opened are files of a ring that are to take the place of those that it has.
type opened struct {
	files   map[*slot]File
	cursors *cursorFile
}

// reopen opens all files anew, for writing, under the lock that is held. The ring stays as it was until install.
func (r *ring) reopen() (o opened, err error) {
	o.files = map[*slot]File{}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	for _, x := range r.slots {
		if x.file == nil {
			continue
		}
		f, err := r.fs.Open(x.name(), true, false)
		if err != nil {
			return o, fmt.Errorf("open slot: %w", err)
		}
		o.files[x] = f
		if size, err := f.Size(); err == nil && size < slotSize {
			if err := f.Reserve(slotSize); err != nil {
				return o, fmt.Errorf("reserve slot: %w", err)
			}
		}
	}
	o.cursors, _, err = openCursors(r.fs, r.cursorsName(), false)
	return o, err
}

func (o *opened) close() {
	for _, f := range o.files {
		f.Close()
	}
	if o.cursors != nil {
		o.cursors.file.Close()
	}
}

// install puts files in the place of the ring's. The caller holds b.mu.
func (r *ring) install(o opened) {
	for x, f := range o.files {
		x.file.Close()
		x.file = f
	}
	if r.cursors != nil {
		r.cursors.file.Close()
	}
	r.cursors, r.write = o.cursors, true
}

// errUnreadable tells that the device or the file system has not given what was asked for. It may do so later.
var errUnreadable = errors.New("cannot be read now")

// readFrame returns the payload of a frame, in memory of buf. It fails with errFrame where something else is in its place.
func readFrame(file File, f *frame, buf []byte) (memory, payload []byte, err error) {
	buf = grow(buf, headerSize+int(f.size))
	if _, err := file.ReadAt(buf, f.off); err == io.EOF {
		return buf, nil, errFrame // the file is shorter
	} else if err != nil {
		return buf, nil, fmt.Errorf("read frame: %w: %w", errUnreadable, err)
	}
	if h, err := parseHeader(buf); err != nil || h != f.header || checksum(buf[headerSize:]) != h.crc {
		return buf, nil, errFrame
	}
	return buf, buf[headerSize:], nil
}

// readAgain reads a frame by way of the slot's name, where its open file fails: the device may have come back as another one.
func (x *slot) readAgain(f *frame, buf []byte) (memory, payload []byte, err error) {
	file, err := x.ring.fs.Open(x.name(), false, false)
	if err != nil {
		return buf, nil, fmt.Errorf("open slot: %w: %w", errUnreadable, err)
	}
	defer file.Close()
	return readFrame(file, f, buf)
}

func (r *ring) closeFiles() {
	for _, x := range r.slots {
		if x.file != nil {
			x.file.Close()
		}
	}
	if r.cursors != nil {
		r.cursors.file.Close()
	}
	r.slots, r.cursors = nil, nil
}

// close gives the directory up.
func (r *ring) close() {
	r.closeFiles()
	if r.lock != nil {
		r.lock.Close()
		r.lock = nil
	}
}
