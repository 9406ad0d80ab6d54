package host

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// asker calls statfs(2), which hangs for as long as a dead network server stays dead, perhaps for ever. Each call has a
// goroutine; what has not answered in time is stuck, and is not asked again before that call has returned.
type asker struct {
	statfs  func(path string, buf *unix.Statfs_t) error
	timeout time.Duration
	log     *slog.Logger

	stuck   map[stuckMount]chan answer
	answers []answer
}

type stuckMount struct {
	id    int // a new mount at the same point is another one
	point string
}

type answer struct {
	stat unix.Statfs_t
	err  error
}

var errStuck = errors.New("mountpoint timeout") // node_exporter's words: they are a label value

func newAsker(timeout time.Duration, log *slog.Logger) *asker {
	return &asker{statfs: unix.Statfs, timeout: timeout, log: log, stuck: map[stuckMount]chan answer{}}
}

// all asks all mounts at once. It returns one answer for each, valid until the next call, after the time limit or three
// quarters of the time that ctx leaves: so the others are heard in the very run in which one gets stuck.
func (a *asker) all(ctx context.Context, root string, mounts []mount) []answer {
	a.release()
	limit := a.timeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)*3/4)
	}
	calls := make([]chan answer, len(mounts))
	for i, m := range mounts {
		if a.stuck[stuckMount{m.id, m.point}] != nil {
			continue
		}
		answered, path := make(chan answer, 1), filepath.Join(root, m.point)
		calls[i] = answered
		go func() {
			var r answer
			r.err = a.statfs(path, &r.stat)
			answered <- r
		}()
	}
	late := make(chan struct{})
	defer time.AfterFunc(limit, func() { close(late) }).Stop()
	a.answers = a.answers[:0]
	for i, m := range mounts {
		a.answers = append(a.answers, a.wait(m, calls[i], late))
	}
	return a.answers
}

func (a *asker) wait(m mount, answered chan answer, late <-chan struct{}) answer {
	if answered == nil {
		return answer{err: errStuck}
	}
	select {
	case r := <-answered:
		return r
	case <-late:
	}
	select {
	case r := <-answered:
		return r
	default:
	}
	a.stuck[stuckMount{m.id, m.point}] = answered
	a.log.Warn("mount does not answer", "mountpoint", m.point, "device", m.device)
	return answer{err: errStuck}
}

// release forgets the stuck mounts whose call has returned.
func (a *asker) release() {
	for m, answered := range a.stuck {
		if len(answered) > 0 {
			delete(a.stuck, m)
			a.log.Info("mount answers again", "mountpoint", m.point)
		}
	}
}
