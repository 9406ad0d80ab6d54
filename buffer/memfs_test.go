package buffer

import (
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// memFS is a file system in memory that knows what is synced: it can crash, and it can fail.
type memFS struct {
	mu     sync.Mutex
	files  map[string]*memNode
	dirs   map[string]bool
	counts map[string]int
	ops    int
	open   int // files
	// fault, if set, is asked before each operation; what it returns is the operation's error.
	fault func(op, name string, n int) error
}

const sectorSize = 512

// memNode is a file: its content as everybody sees it, and which sectors a crash may take back.
type memNode struct {
	data, synced []byte
	dirty        map[int64]bool // sectors written since the last sync
	entry        bool           // the directory is synced: the name survives
	locked       bool
}

func newMemFS() *memFS {
	return &memFS{files: map[string]*memNode{}, dirs: map[string]bool{}, counts: map[string]int{}}
}

func (m *memFS) op(op, name string) error {
	m.ops++
	if op == "write" || op == "sync" || op == "reserve" {
		m.counts[name]++
	}
	if m.fault != nil {
		if err := m.fault(op, name, m.ops); err != nil {
			return &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
	return nil
}

// writes counts the operations that change what is below a directory.
func (m *memFS) writes(dir string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, c := range m.counts {
		if strings.HasPrefix(name, dir+"/") {
			n += c
		}
	}
	return n
}

func (m *memFS) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isDir(dir) {
		return nil
	}
	if err := m.op("mkdir", dir); err != nil {
		return err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		m.dirs[dir] = true
	}
	return nil
}

func (m *memFS) isDir(dir string) bool {
	for name := range m.files {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return m.dirs[dir]
}

func (m *memFS) Open(name string, write, create bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	op := "open"
	if write {
		op = "open for writing"
	}
	if err := m.op(op, name); err != nil {
		return nil, err
	}
	n := m.files[name]
	if n == nil {
		if !create || !m.isDir(filepath.Dir(name)) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
		}
		n = &memNode{dirty: map[int64]bool{}}
		m.files[name] = n
	}
	m.open++
	return &memFile{fs: m, name: name, node: n, write: write}, nil
}

// move renames a directory; with to "" it is deleted. Files that are open stay so.
func (m *memFS) move(from, to string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	moved := map[string]*memNode{}
	for name, n := range m.files {
		if rest, ok := strings.CutPrefix(name, from+"/"); !ok {
			moved[name] = n
		} else if to != "" {
			moved[to+"/"+rest] = n
		}
	}
	m.files = moved
	for name := range m.dirs {
		if under(from, name) {
			delete(m.dirs, name)
		}
	}
}

// copy makes a copy of a directory.
func (m *memFS) copy(from, to string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, n := range maps.Clone(m.files) {
		if rest, ok := strings.CutPrefix(name, from+"/"); ok {
			m.files[to+"/"+rest] = &memNode{data: slices.Clone(n.data), synced: slices.Clone(n.data), dirty: map[int64]bool{}, entry: true}
		}
	}
}

func (m *memFS) Names(dir string) (names []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.op("readdir", dir); err != nil {
		return nil, err
	}
	if !m.isDir(dir) {
		return nil, &fs.PathError{Op: "readdir", Path: dir, Err: syscall.ENOENT}
	}
	for name := range m.files {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			rest, _, _ = strings.Cut(rest, "/")
			if !slices.Contains(names, rest) {
				names = append(names, rest)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

func (m *memFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.op("remove", name); err != nil {
		return err
	}
	delete(m.files, name)
	return nil
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.op("rename", from); err != nil {
		return err
	}
	m.files[to] = m.files[from]
	delete(m.files, from)
	return nil
}

func (m *memFS) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.op("sync", dir); err != nil {
		return err
	}
	for name, n := range m.files {
		if filepath.Dir(name) == dir {
			n.entry = true
		}
	}
	return nil
}

func (m *memFS) InMemory(dir string) bool {
	return strings.HasPrefix(dir, "/run") && !strings.HasPrefix(dir, "/run/user")
}

// crash returns what is left after a power cut: each sector that was not synced is as it was, as it was to be, or garbage; files
// whose directory entry was not synced may be gone; what is on tmpfs is.
func (m *memFS) crash(r *rand.Rand) *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := newMemFS()
	for name := range m.dirs {
		after.dirs[name] = !under("/run", name)
	}
	for name, n := range m.files {
		if strings.HasPrefix(name, "/run") || !n.entry && r.IntN(2) == 0 {
			continue
		}
		c := &memNode{data: slices.Clone(n.synced), dirty: map[int64]bool{}, entry: true}
		if len(n.data) > len(c.data) && r.IntN(2) == 0 {
			c.data = append(c.data, make([]byte, len(n.data)-len(c.data))...)
		}
		for sector := range n.dirty {
			from := min(sector*sectorSize, int64(len(c.data)))
			to := min(from+sectorSize, int64(len(c.data)))
			switch r.IntN(3) {
			case 0:
				copy(c.data[from:to], n.data[min(from, int64(len(n.data))):])
			case 1:
				for i := from; i < to; i++ {
					c.data[i] = byte(r.Uint32())
				}
			}
		}
		c.synced = slices.Clone(c.data)
		after.files[name] = c
	}
	return after
}

type memFile struct {
	fs    *memFS
	name  string
	node  *memNode
	write bool
	lock  bool
	shut  bool
}

// unlock lets go of all locks and files, as the kernel does for a process that is killed.
func (m *memFS) unlock() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = 0
	for _, n := range m.files {
		n.locked = false
	}
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.op("read", f.name); err != nil {
		return 0, err
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if !f.write {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: syscall.EBADF}
	}
	err := f.fs.op("write", f.name)
	if err != nil { // a part of it may have got there
		p = p[:len(p)/2]
	}
	f.grow(off + int64(len(p)))
	copy(f.node.data[off:], p)
	for s := off / sectorSize; s*sectorSize < off+int64(len(p)); s++ {
		f.node.dirty[s] = true
	}
	return len(p), err
}

func (f *memFile) grow(size int64) {
	if n := size - int64(len(f.node.data)); n > 0 {
		f.node.data = append(f.node.data, make([]byte, n)...)
	}
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.node.data)), f.fs.op("stat", f.name)
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.op("write", f.name); err != nil {
		return err
	}
	f.grow(size)
	f.node.data = f.node.data[:size]
	return nil
}

func (f *memFile) Reserve(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.op("reserve", f.name); err != nil {
		return err
	}
	f.grow(size)
	return nil
}

// Sync makes durable what was written. After an error the pages count as clean, as on Linux: what they held may be lost.
func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.op("sync", f.name); err != nil {
		clear(f.node.dirty)
		return err
	}
	f.node.synced = slices.Clone(f.node.data)
	clear(f.node.dirty)
	return nil
}

func (f *memFile) Lock() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.op("lock", f.name); err != nil {
		return err
	}
	if f.node.locked {
		return syscall.EWOULDBLOCK
	}
	f.node.locked, f.lock = true, true
	return nil
}

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.shut {
		return fs.ErrClosed
	}
	f.shut = true
	f.fs.open--
	if f.lock {
		f.node.locked = false
	}
	return nil
}
