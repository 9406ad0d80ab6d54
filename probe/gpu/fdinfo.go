package gpu

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// client is an open DRM device, as /proc/PID/fdinfo/FD describes it.
type client struct {
	pci, id string
	engines map[string]busy
}

// busy is how much an engine has worked for a client: time where total is 0, else cycles of total.
type busy struct {
	n, total uint64  // nanoseconds, or cycles
	capacity float64 // engines of the kind
}

// parseFdinfo reads a fdinfo file; ok is false where it is none of a DRM device.
func parseFdinfo(data []byte) (c client, ok bool) {
	c.engines = map[string]busy{}
	for len(data) > 0 && len(c.engines) < 64 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte{'\n'})
		name, value, found := bytes.Cut(line, []byte{':'})
		key, drm := bytes.CutPrefix(name, []byte("drm-"))
		if !found || !drm {
			continue
		}
		value = bytes.TrimSpace(value)
		switch string(key) {
		case "pdev":
			c.pci = string(value)
			continue
		case "client-id":
			c.id = string(value)
			continue
		}
		number, unit, _ := bytes.Cut(value, []byte{' '})
		n, err := strconv.ParseUint(string(number), 10, 64)
		if err != nil {
			continue
		}
		if engine, is := bytes.CutPrefix(key, []byte("engine-capacity-")); is {
			c.set(engine, func(b *busy) { b.capacity = float64(n) })
		} else if engine, is := bytes.CutPrefix(key, []byte("engine-")); is && string(unit) == "ns" {
			c.set(engine, func(b *busy) { b.n = n })
		} else if engine, is := bytes.CutPrefix(key, []byte("total-cycles-")); is {
			c.set(engine, func(b *busy) { b.total = n })
		} else if engine, is := bytes.CutPrefix(key, []byte("cycles-")); is {
			c.set(engine, func(b *busy) { b.n = n })
		}
	}
	return c, c.pci != "" && c.id != ""
}

func (c *client) set(engine []byte, change func(*busy)) {
	b := c.engines[string(engine)]
	change(&b)
	c.engines[string(engine)] = b
}

// clients follows the processes that have DRM devices open. Where the agent may not look into the others, it sees its own user's.
type clients struct {
	proc  string
	round int
	at    time.Time       // of the last round
	holds map[string]bool // by PID: it had a DRM device open when it was looked at last
	known map[string]*client
	buf   []byte
}

const (
	lookEvery   = 6     // rounds after which a process without a DRM device is looked at again
	fdLimit     = 50000 // file descriptors looked at in a round
	clientLimit = 4096
)

func newClients(proc string) *clients {
	return &clients{proc: proc, holds: map[string]bool{}, known: map[string]*client{}, buf: make([]byte, 4096)}
}

// share is how busy the engines of a GPU were, by the driver's name of the engine.
type share map[string]float64

// read walks the processes and returns what each GPU's engines did for them since the round before, by PCI address; nothing of a GPU
// that has no user who was there before, be it that none may be seen.
func (c *clients) read(ctx context.Context) map[string]share {
	at := time.Now()
	elapsed := float64(at.Sub(c.at))
	now := map[string]*client{}
	pids, left := map[string]bool{}, fdLimit
	c.round++
	entries, _ := os.ReadDir(c.proc)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || ctx.Err() != nil || left <= 0 {
			continue
		}
		holds, seen := c.holds[e.Name()]
		if !seen || holds || (pid+c.round)%lookEvery == 0 {
			holds = c.look(filepath.Join(c.proc, e.Name()), now, &left)
		}
		pids[e.Name()] = holds
	}
	shares := map[string]share{}
	for key, cl := range now {
		before := c.known[key]
		if before == nil {
			continue
		}
		s := shares[cl.pci]
		if s == nil {
			s = share{}
			shares[cl.pci] = s
		}
		for engine, b := range cl.engines {
			s[engine] += b.since(before.engines[engine], elapsed)
		}
	}
	for _, s := range shares {
		for engine, v := range s {
			s[engine] = math.Min(v, 1)
		}
	}
	c.holds, c.known, c.at = pids, now, at
	return shares
}

// since is the part of the engines' time that was used after was. Values may step back for a moment.
func (b busy) since(was busy, elapsed float64) float64 {
	if b.n <= was.n {
		return 0
	}
	whole := elapsed
	if b.total > 0 {
		whole = float64(b.total) - float64(was.total)
	}
	if whole <= 0 {
		return 0
	}
	return float64(b.n-was.n) / whole / math.Max(b.capacity, 1)
}

// look reads the DRM devices of a process and tells whether it has any.
func (c *clients) look(dir string, now map[string]*client, left *int) (holds bool) {
	f, err := os.Open(filepath.Join(dir, "fd"))
	if err != nil { // another user's, or gone
		return false
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(256)
		for _, fd := range names {
			*left--
			target, err := os.Readlink(filepath.Join(dir, "fd", fd))
			if err != nil || !strings.HasPrefix(target, "/dev/dri/") {
				continue
			}
			holds = true
			data, err := readFile(filepath.Join(dir, "fdinfo", fd), c.buf)
			if err != nil {
				continue
			}
			if cl, ok := parseFdinfo(data); ok && len(now) < clientLimit {
				c.keep(now, &cl)
			}
		}
		if err != nil || len(names) == 0 || *left <= 0 {
			return holds
		}
	}
}

// keep notes a client once, however many descriptors and processes share it, with the larger of its values.
func (c *clients) keep(now map[string]*client, cl *client) {
	key := cl.pci + " " + cl.id
	for _, other := range []*client{now[key], c.known[key]} {
		if other == nil {
			continue
		}
		for engine, b := range other.engines {
			if b.n > cl.engines[engine].n {
				cl.engines[engine] = b
			}
		}
	}
	now[key] = cl
}
