package sim

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"headend-agent/buffer"
)

// view is the machine's storage as one process sees it. After the process is killed every call fails and changes nothing.
type view struct {
	disk *disk
	dead *atomic.Bool
	open atomic.Int64 // files

	fuse  int    // operations until the process ends in the middle of one; 0: it does not
	blown func() // called then, with the disk locked
}

var errKilled = errors.New("the process has been killed")

// begin waits as long as the file system is slow, and returns with the disk locked.
func (v *view) begin(name string) (*mount, error) {
	v.disk.mu.Lock()
	slow := v.disk.mount(name).slow
	v.disk.mu.Unlock()
	if slow > 0 && !v.dead.Load() {
		time.Sleep(slow)
	}
	v.disk.mu.Lock()
	if v.fuse > 0 {
		if v.fuse--; v.fuse == 0 {
			v.blown()
		}
	}
	if v.dead.Load() {
		v.disk.mu.Unlock()
		return nil, errKilled
	}
	return v.disk.mount(name), nil
}

func (v *view) MkdirAll(dir string) error {
	m, err := v.begin(dir)
	if err != nil {
		return err
	}
	defer v.disk.mu.Unlock()
	if v.disk.dirs[dir] {
		return nil
	}
	if m.write != 0 {
		return pathError("mkdir", dir, m.write)
	}
	for ; dir != "/" && dir != "."; dir = filepath.Dir(dir) {
		v.disk.dirs[dir] = true
	}
	return nil
}

func (v *view) Open(name string, write, create bool) (buffer.File, error) {
	m, err := v.begin(name)
	if err != nil {
		return nil, err
	}
	defer v.disk.mu.Unlock()
	if m.open != 0 {
		return nil, pathError("open", name, m.open)
	}
	if write && m.write == syscall.EROFS {
		return nil, pathError("open", name, syscall.EROFS)
	}
	n := v.disk.nodes[name]
	if n == nil {
		switch {
		case !create || !v.disk.dirs[filepath.Dir(name)]:
			return nil, pathError("open", name, syscall.ENOENT)
		case m.write != 0:
			return nil, pathError("open", name, m.write)
		case m.full && !m.files:
			return nil, pathError("open", name, syscall.ENOSPC)
		}
		n = newNode()
		v.disk.nodes[name] = n
	}
	v.open.Add(1)
	return &file{view: v, name: name, node: n, write: write}, nil
}

func (v *view) Names(dir string) (names []string, err error) {
	m, err := v.begin(dir)
	if err != nil {
		return nil, err
	}
	defer v.disk.mu.Unlock()
	if m.open != 0 {
		return nil, pathError("readdir", dir, m.open)
	}
	if !v.disk.dirs[dir] {
		return nil, pathError("readdir", dir, syscall.ENOENT)
	}
	seen := map[string]bool{}
	for name := range v.disk.nodes {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			rest, _, _ = strings.Cut(rest, "/")
			seen[rest] = true
		}
	}
	for name := range v.disk.dirs {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok && rest != "" {
			rest, _, _ = strings.Cut(rest, "/")
			seen[rest] = true
		}
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

func (v *view) Remove(name string) error {
	m, err := v.begin(name)
	if err != nil {
		return err
	}
	defer v.disk.mu.Unlock()
	n := v.disk.nodes[name]
	switch {
	case n == nil:
		return pathError("remove", name, syscall.ENOENT)
	case m.write != 0:
		return pathError("remove", name, m.write)
	}
	m.room += int64(len(n.data))
	delete(v.disk.nodes, name)
	return nil
}

func (v *view) Rename(from, to string) error {
	m, err := v.begin(from)
	if err != nil {
		return err
	}
	defer v.disk.mu.Unlock()
	n := v.disk.nodes[from]
	switch {
	case n == nil:
		return pathError("rename", from, syscall.ENOENT)
	case m.write != 0:
		return pathError("rename", from, m.write)
	}
	if old := v.disk.nodes[to]; old != nil {
		m.room += int64(len(old.data))
	}
	v.disk.nodes[to] = n
	delete(v.disk.nodes, from)
	return nil
}

func (v *view) SyncDir(dir string) error {
	m, err := v.begin(dir)
	if err != nil {
		return err
	}
	defer v.disk.mu.Unlock()
	if m.sync != 0 {
		return pathError("sync", dir, m.sync)
	}
	for name, n := range v.disk.nodes {
		if filepath.Dir(name) == dir {
			n.linked = true
		}
	}
	return nil
}

func (v *view) InMemory(dir string) bool { return onTmpfs(dir) && !strings.HasPrefix(dir, "/run/user") }

// file is an open file of a view.
type file struct {
	view   *view
	name   string
	node   *node
	write  bool
	closed bool
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	m, err := f.view.begin(f.name)
	if err != nil {
		return 0, err
	}
	defer f.view.disk.mu.Unlock()
	if m.read != 0 {
		return 0, pathError("read", f.name, m.read)
	}
	return f.node.readAt(p, off)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	m, err := f.view.begin(f.name)
	if err != nil {
		return 0, err
	}
	defer f.view.disk.mu.Unlock()
	failed := m.write
	if !f.write {
		failed = syscall.EBADF
	}
	if failed == syscall.EIO { // a part of it may have got there
		p = p[:len(p)/2]
	} else if failed != 0 {
		return 0, pathError("write", f.name, failed)
	}
	end := off + int64(len(p))
	if err := m.allocate(f.node, max(end, int64(len(f.node.data)))); err != nil {
		return 0, pathError("write", f.name, syscall.ENOSPC)
	}
	f.node.keepSectors(off, end)
	if end > int64(len(f.node.data)) {
		f.node.resize(end)
	}
	copy(f.node.data[off:], p)
	return len(p), pathError("write", f.name, failed)
}

func (f *file) Size() (int64, error) {
	if _, err := f.view.begin(f.name); err != nil {
		return 0, err
	}
	defer f.view.disk.mu.Unlock()
	return int64(len(f.node.data)), nil
}

func (f *file) Truncate(size int64) error { return f.setSize("truncate", size, false) }
func (f *file) Reserve(size int64) error  { return f.setSize("fallocate", size, true) }

func (f *file) setSize(op string, size int64, growOnly bool) error {
	m, err := f.view.begin(f.name)
	if err != nil {
		return err
	}
	defer f.view.disk.mu.Unlock()
	if m.write != 0 {
		return pathError(op, f.name, m.write)
	}
	if growOnly && size <= int64(len(f.node.data)) {
		return nil
	}
	if err := m.allocate(f.node, size); err != nil {
		return pathError(op, f.name, syscall.ENOSPC)
	}
	f.node.resize(size)
	return nil
}

// Sync makes durable what was written. After an error the kernel takes the pages for clean: no later sync writes them.
func (f *file) Sync() error {
	m, err := f.view.begin(f.name)
	if err != nil {
		return err
	}
	defer f.view.disk.mu.Unlock()
	if m.sync != 0 {
		maps.Copy(f.node.doomed, f.node.dirty)
		clear(f.node.dirty)
		return pathError("fdatasync", f.name, m.sync)
	}
	clear(f.node.dirty)
	f.node.syncedSize = len(f.node.data)
	return nil
}

func (f *file) Lock() error {
	if _, err := f.view.begin(f.name); err != nil {
		return err
	}
	defer f.view.disk.mu.Unlock()
	if f.node.lockedBy != nil && f.node.lockedBy != f {
		return syscall.EWOULDBLOCK
	}
	f.node.lockedBy = f
	return nil
}

func (f *file) Close() error {
	f.view.disk.mu.Lock()
	defer f.view.disk.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	f.view.open.Add(-1)
	if f.node.lockedBy == f {
		f.node.lockedBy = nil
	}
	return nil
}

// release drops the locks of a process that has been killed, as the kernel does.
func (v *view) release() {
	v.disk.mu.Lock()
	defer v.disk.mu.Unlock()
	for _, n := range v.disk.nodes {
		if n.lockedBy != nil && n.lockedBy.view == v {
			n.lockedBy = nil
		}
	}
}
