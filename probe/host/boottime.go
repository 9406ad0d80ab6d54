package host

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// bootTime knows since when the kernel's counters count. It reads btime of /proc/stat, which is as wrong as the clock
// was when the wall clock is set later; so it reads again after the wall clock has stepped.
type bootTime struct {
	fs     procfs.FS
	boot   time.Time
	readAt time.Time
}

func newBootTime(env probe.Env) (bootTime, error) {
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return bootTime{}, fmt.Errorf("open procfs: %w", err)
	}
	return bootTime{fs: fs}, nil
}

// mark tells out that the counters of this run count since boot.
func (b *bootTime) mark(out *metric.Set) {
	now := time.Now()
	if b.boot.IsZero() || stepped(b.readAt, now) {
		if s, err := b.fs.Stat(); err == nil && s.BootTime > 0 {
			b.boot, b.readAt = time.Unix(int64(s.BootTime), 0), now
		}
	}
	if !b.boot.IsZero() {
		out.Since(b.boot)
	}
}

// stepped tells whether the wall clock was set between two readings of it.
func stepped(from, to time.Time) bool {
	wall := to.Round(0).Sub(from.Round(0))
	return (wall - to.Sub(from)).Abs() > time.Second
}
