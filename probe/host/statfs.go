package host

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A pool of threads asks mounts by statfs(2), which hangs for as long as a dead network server stays dead, perhaps for ever, and keeps
// its thread. Some of them are for mounts that can be relied on only: no number of dead ones silences those.
const (
	statfsThreads  = 8
	statfsReserved = 2
)

// asker asks mounts. One that has not answered in time is stuck, and is not asked again before its call has returned.
type asker struct {
	statfs  func(path string, buf *unix.Statfs_t) error
	timeout time.Duration
	log     *slog.Logger

	stuck    map[mountID]*statfsCall
	answered map[mountID]bool // when they were asked last
	answers  []answer
}

type mountID struct {
	id    int // a new mount at the same point is another one
	point string
}

type statfsCall struct {
	reliable bool
	answer   answer
	done     chan struct{} // closed when answer is there
}

type answer struct {
	stat unix.Statfs_t
	err  error
}

var (
	errStuck    = errors.New("mountpoint timeout") // node_exporter's words: they are a label value
	errNotAsked = errors.New("not asked: too many other mounts hang")
)

func newAsker(timeout time.Duration, log *slog.Logger) *asker {
	return &asker{statfs: unix.Statfs, timeout: timeout, log: log, stuck: map[mountID]*statfsCall{}, answered: map[mountID]bool{}}
}

// all asks all mounts. It returns one answer for each, valid until the next call, after the time limit or three quarters of the
// time that ctx leaves: so the others are heard in the very run in which one gets stuck.
func (a *asker) all(ctx context.Context, root string, mounts []mount) []answer {
	a.release()
	limit := a.timeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)*3/4)
	}
	late := make(chan struct{})
	defer time.AfterFunc(limit, func() { close(late) }).Stop()

	a.answers = make([]answer, len(mounts))
	running := map[int]*statfsCall{}
	finished := make(chan int, len(mounts))
	for _, i := range a.inTurn(mounts) {
		if a.stuck[mounts[i].key()] != nil {
			a.answers[i].err = errStuck
			continue
		}
		reliable := a.reliable(mounts[i])
		for !a.room(running, reliable) && a.heed(running, finished, late) {
		}
		if !a.room(running, reliable) {
			a.answers[i].err = errNotAsked
			continue
		}
		c := &statfsCall{reliable: reliable, done: make(chan struct{})}
		running[i] = c
		path := filepath.Join(root, mounts[i].point)
		go func() {
			c.answer.err = a.statfs(path, &c.answer.stat)
			close(c.done)
			finished <- i
		}()
	}
	for len(running) > 0 && a.heed(running, finished, late) {
	}
	for i, c := range running {
		a.stuck[mounts[i].key()], a.answers[i].err = c, errStuck
		a.log.Warn("mount does not answer", "mountpoint", mounts[i].point, "device", mounts[i].device)
	}
	clear(a.answered)
	for i := range mounts {
		a.answered[mounts[i].key()] = a.answers[i].err == nil
	}
	return a.answers
}

// inTurn returns the order in which to ask mounts: first those that can be relied on.
func (a *asker) inTurn(mounts []mount) []int {
	var first, then []int
	for i := range mounts {
		if a.reliable(mounts[i]) {
			first = append(first, i)
		} else {
			then = append(then, i)
		}
	}
	return append(first, then...)
}

// reliable tells whether a mount is unlikely to hang: it answered last time, or its data is on this machine.
func (a *asker) reliable(m mount) bool {
	if m.fstype == "tmpfs" || m.fstype == "ramfs" || m.fstype == "zfs" || strings.HasPrefix(m.device, "/dev/") {
		return !strings.HasPrefix(m.fstype, "fuse") || a.answered[m.key()]
	}
	return a.answered[m.key()]
}

// room tells whether a thread is free for another call.
func (a *asker) room(running map[int]*statfsCall, reliable bool) bool {
	all, unreliable := 0, 0
	count := func(c *statfsCall) {
		all++
		if !c.reliable {
			unreliable++
		}
	}
	for _, c := range running {
		count(c)
	}
	for _, c := range a.stuck {
		count(c)
	}
	return all < statfsThreads && (reliable || unreliable < statfsThreads-statfsReserved)
}

// heed waits for a call to return. It returns false when it is too late, or when no call is under way.
func (a *asker) heed(running map[int]*statfsCall, finished <-chan int, late <-chan struct{}) bool {
	if len(running) == 0 {
		return false
	}
	var i int
	select {
	case i = <-finished: // also where it is too late for others
	default:
		select {
		case i = <-finished:
		case <-late:
			return false
		}
	}
	a.answers[i] = running[i].answer
	delete(running, i)
	return true
}

// release forgets the stuck mounts whose call has returned.
func (a *asker) release() {
	for m, c := range a.stuck {
		select {
		case <-c.done:
			delete(a.stuck, m)
			a.log.Info("mount answers again", "mountpoint", m.point)
		default:
		}
	}
}

func (m *mount) key() mountID { return mountID{m.id, m.point} }
