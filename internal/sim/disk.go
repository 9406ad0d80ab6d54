package sim

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
	"time"
)

// Where the simulated machine keeps things.
const (
	ringDir    = "/var/lib/agent/buffer"
	movedDir   = "/var/lib/elsewhere/buffer"
	runtimeDir = "/run/agent"
)

const sectorSize = 512

// disk is the machine's storage: a disk that forgets unsynced sectors when the power goes, and a tmpfs under /run. It outlives the
// processes that use it through a view.
type disk struct {
	mu    sync.Mutex
	nodes map[string]*node
	dirs  map[string]bool
	ring  mount
	run   mount
}

// mount is the state of one file system.
type mount struct {
	room  int64         // bytes that may still be allocated
	full  bool          // nothing can be allocated
	files bool          // while full: empty files can be made nevertheless
	write syscall.Errno // of every operation that changes something; 0: none
	read  syscall.Errno // of reads of content
	open  syscall.Errno // of opening and listing
	sync  syscall.Errno
	slow  time.Duration // before each operation
}

// node is a file: its content as every process sees it, and what a power loss may do to it.
type node struct {
	data       []byte
	syncedSize int
	dirty      map[int64][]byte // by sector: the content as of the last sync
	doomed     map[int64][]byte // sectors whose sync has failed: the kernel takes them for clean, and never writes them
	linked     bool             // the directory entry is synced
	lockedBy   *file
}

func newDisk() *disk {
	return &disk{nodes: map[string]*node{}, dirs: map[string]bool{"/": true, "/var/lib/agent": true, "/run/agent": true},
		ring: mount{room: 1 << 40}, run: mount{room: 1 << 40}}
}

func onTmpfs(name string) bool { return strings.HasPrefix(name, "/run") }

func (d *disk) mount(name string) *mount {
	if onTmpfs(name) {
		return &d.run
	}
	return &d.ring
}

// used returns the bytes of all files of the ring's directory.
func (d *disk) used() (n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, x := range d.nodes {
		if strings.HasPrefix(name, ringDir) {
			n += int64(len(x.data))
		}
	}
	return n
}

// move renames a directory. It does nothing where the new name exists, as mv of a directory onto one that is not empty.
func (d *disk) move(from, to string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.dirs[from] || d.dirs[to] {
		return false
	}
	for _, name := range slices.Collect(maps.Keys(d.nodes)) {
		if rest, ok := strings.CutPrefix(name, from+"/"); ok {
			d.nodes[to+"/"+rest] = d.nodes[name]
			delete(d.nodes, name)
		}
	}
	for _, name := range slices.Collect(maps.Keys(d.dirs)) {
		if rest, ok := strings.CutPrefix(name, from); ok && (rest == "" || rest[0] == '/') {
			d.dirs[to+rest] = true
			delete(d.dirs, name)
		}
	}
	return true
}

// remove deletes what is under a directory on the disk.
func (d *disk) remove(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.nodes, func(name string, _ *node) bool { return strings.HasPrefix(name, dir+"/") })
	maps.DeleteFunc(d.dirs, func(name string, _ bool) bool { return name == dir || strings.HasPrefix(name, dir+"/") })
}

// powerLoss takes back what is not synced: each such sector is as it was, as it was to be, or garbage. A file whose directory entry is
// not synced may be gone. What was on tmpfs is gone.
func (d *disk) powerLoss(r *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(d.nodes)) {
		n := d.nodes[name]
		if onTmpfs(name) || !n.linked && r.IntN(2) == 0 {
			delete(d.nodes, name)
			continue
		}
		n.lose(r)
	}
	maps.DeleteFunc(d.dirs, func(name string, _ bool) bool { return onTmpfs(name) })
	d.dirs[runtimeDir] = true
}

func (n *node) lose(r *rand.Rand) {
	if len(n.data) > n.syncedSize && r.IntN(2) == 0 {
		n.data = n.data[:n.syncedSize]
	}
	for _, lost := range []map[int64][]byte{n.dirty, n.doomed} {
		for _, sector := range slices.Sorted(maps.Keys(lost)) {
			from := min(sector*sectorSize, int64(len(n.data)))
			to := min(from+sectorSize, int64(len(n.data)))
			switch r.IntN(3) {
			case 0:
				clear(n.data[from:to])
				copy(n.data[from:to], lost[sector])
			case 1:
				for i := from; i < to; i++ {
					n.data[i] = byte(r.Uint32())
				}
			}
		}
		clear(lost)
	}
	n.syncedSize, n.linked, n.lockedBy = len(n.data), true, nil
}

// snapshot returns a copy of the disk as a power loss at this moment would leave it.
func (d *disk) snapshot(r *rand.Rand) map[string]*node {
	d.mu.Lock()
	defer d.mu.Unlock()
	copied := map[string]*node{}
	for _, name := range slices.Sorted(maps.Keys(d.nodes)) {
		if n := d.nodes[name]; !onTmpfs(name) && n.linked {
			c := newNode()
			c.data, c.syncedSize = slices.Clone(n.data), n.syncedSize
			c.dirty, c.doomed = maps.Clone(n.dirty), maps.Clone(n.doomed)
			c.lose(r)
			copied[name] = c
		}
	}
	return copied
}

// restore puts a snapshot in the place of everything, as after a power loss.
func (d *disk) restore(nodes map[string]*node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nodes = nodes
	for name := range nodes {
		for dir := filepath.Dir(name); dir != "/"; dir = filepath.Dir(dir) {
			d.dirs[dir] = true
		}
	}
}

func newNode() *node { return &node{dirty: map[int64][]byte{}, doomed: map[int64][]byte{}} }

// keepSectors notes what the sectors of a range hold on the platter, before they change.
func (n *node) keepSectors(from, to int64) {
	for s := from / sectorSize; s*sectorSize < to; s++ {
		if _, ok := n.dirty[s]; ok {
			continue
		}
		if was, ok := n.doomed[s]; ok {
			n.dirty[s] = was
			delete(n.doomed, s)
			continue
		}
		at := min(s*sectorSize, int64(len(n.data)))
		n.dirty[s] = slices.Clone(n.data[at:min(at+sectorSize, int64(len(n.data)))])
	}
}

func (n *node) resize(size int64) {
	if grow := size - int64(len(n.data)); grow > 0 {
		n.data = append(n.data, make([]byte, grow)...)
	} else {
		n.data = n.data[:size]
	}
}

// allocate takes room for a file that grows to size.
func (m *mount) allocate(n *node, size int64) error {
	grow := size - int64(len(n.data))
	if grow <= 0 {
		m.room -= grow
		return nil
	}
	if m.full || grow > m.room {
		return syscall.ENOSPC
	}
	m.room -= grow
	return nil
}

func pathError(op, name string, err syscall.Errno) error {
	if err == 0 {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// readAt is io.ReaderAt on a node.
func (n *node) readAt(p []byte, off int64) (int, error) {
	if off >= int64(len(n.data)) {
		return 0, io.EOF
	}
	c := copy(p, n.data[off:])
	if c < len(p) {
		return c, io.EOF
	}
	return c, nil
}
