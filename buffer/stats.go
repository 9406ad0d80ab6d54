package buffer

import (
	"context"
	"maps"
	"slices"
	"time"

	"headend-agent/internal/metric"
)

// Ledger is where the samples of a destination went. With what is pending they add up to what was appended since the
// destination's cursor began.
type Ledger struct {
	Delivered, Refused, Uncertain uint64
	Dropped                       map[string]uint64 // by reason: overflow, max_age, clock, damaged, and what senders give
	Repeated                      uint64            // handed out once more, because there were too many gaps
}

func (l *Ledger) add(o metric.Outcome) {
	l.Delivered += uint64(o.Delivered)
	l.Refused += uint64(o.Refused)
	l.Uncertain += uint64(o.Uncertain)
	for reason, n := range o.Dropped {
		l.Dropped[reason] += uint64(n)
	}
}

// DestinationStats is a destination as the buffer sees it.
type DestinationStats struct {
	Ledger
	Pending   int     // samples
	OldestAge float64 // seconds since the oldest pending sample was appended
	Late      bool    // its samples are being written to disk
}

// Stats is the buffer now.
type Stats struct {
	Appended uint64 // samples, ever
	Bytes    int    // in memory
	Rounds   int    // that are hot
	Blocks   int    // kept

	Mode     Mode
	Errors   map[string]uint64 // of the disk and the tail, by errno
	Commits  uint64            // to disk
	Written  uint64            // bytes of them
	Slots    int               // of the ring, in use
	Damaged  uint64            // frames and pieces that could not be read
	Tail     bool              // there is one
	TailSize int64             // bytes
	TailLost uint64            // samples that it had no room for

	Destinations map[string]DestinationStats
}

// Stats returns a snapshot, which is the caller's.
func (b *Buffer) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Stats{
		Appended: b.appends, Bytes: b.memory, Rounds: len(b.hot), Mode: b.disk.mode, Errors: maps.Clone(b.disk.errors),
		Commits: b.disk.commits, Written: b.disk.bytes, Damaged: b.disk.damaged, Destinations: map[string]DestinationStats{},
	}
	for _, x := range b.segments {
		s.Blocks += len(x.blocks)
		if x.slot != nil {
			s.Slots++
		}
	}
	if b.tail != nil {
		s.Tail, s.TailSize, s.TailLost = !b.tail.broken, b.tail.size, b.tail.lost
	}
	now := time.Now()
	for name, r := range b.readers {
		d := DestinationStats{Ledger: r.stats, Late: r.isLate(now)}
		d.Dropped = maps.Clone(r.stats.Dropped)
		n, age := r.pending()
		d.Pending, d.OldestAge = n, age.Seconds()
		s.Destinations[name] = d
	}
	return s
}

var (
	byDestination = []string{"destination"}
	appended      = &metric.Desc{Name: "headend_agent_buffer_samples_appended_total", Help: "Samples that the probes have put into the buffer.", Type: metric.Counter}
	memoryBytes   = &metric.Desc{Name: "headend_agent_buffer_memory_bytes", Help: "Memory that the rounds in the buffer weigh.", Type: metric.Gauge, Unit: metric.Bytes}
	memoryLimit   = &metric.Desc{Name: "headend_agent_buffer_memory_limit_bytes", Help: "Bound of headend_agent_buffer_memory_bytes.", Type: metric.Gauge, Unit: metric.Bytes}
	delivered     = &metric.Desc{Name: "headend_agent_remote_write_samples_delivered_total", Help: "Samples that the destination has taken.", Type: metric.Counter, Labels: byDestination}
	refused       = &metric.Desc{Name: "headend_agent_remote_write_samples_refused_total", Help: "Samples that the destination has refused for good.", Type: metric.Counter, Labels: byDestination}
	uncertain     = &metric.Desc{Name: "headend_agent_remote_write_samples_uncertain_total", Help: "Samples refused after an answer was lost: the destination may have them.", Type: metric.Counter, Labels: byDestination}
	dropped       = &metric.Desc{Name: "headend_agent_remote_write_samples_dropped_total", Help: "Samples given up before they reached the destination.", Type: metric.Counter, Labels: []string{"destination", "reason"}}
	bufferMode    = &metric.Desc{Name: "headend_agent_buffer_mode", Help: "1 for the mode that the buffer is in: disk, partial (a smaller ring) or memory.", Type: metric.Gauge, Labels: []string{"mode"}}
	diskErrors    = &metric.Desc{Name: "headend_agent_buffer_errors_total", Help: "Errors of the buffer's disk and tail.", Type: metric.Counter, Labels: []string{"errno"}}
	diskCommits   = &metric.Desc{Name: "headend_agent_buffer_commits_total", Help: "Writes to the ring on disk, each synced.", Type: metric.Counter}
	diskWritten   = &metric.Desc{Name: "headend_agent_buffer_written_bytes_total", Help: "Bytes written to the ring on disk.", Type: metric.Counter, Unit: metric.Bytes}
	diskSlots     = &metric.Desc{Name: "headend_agent_buffer_slots", Help: "Slots of the ring on disk that hold samples, of 1 MiB each.", Type: metric.Gauge}
	damagedFrames = &metric.Desc{Name: "headend_agent_buffer_damaged_total", Help: "Pieces of the buffer that could not be read.", Type: metric.Counter}
	tailBytes     = &metric.Desc{Name: "headend_agent_buffer_tail_bytes", Help: "Size of the copy on tmpfs that survives a kill; absent where there is none.", Type: metric.Gauge, Unit: metric.Bytes}
	tailLost      = &metric.Desc{Name: "headend_agent_buffer_tail_cut_samples_total", Help: "Samples for which the copy on tmpfs had no room.", Type: metric.Counter}
	repeated      = &metric.Desc{Name: "headend_agent_remote_write_samples_repeated_total", Help: "Samples sent once more because their backlog had too many gaps.", Type: metric.Counter, Labels: byDestination}
	late          = &metric.Desc{Name: "headend_agent_remote_write_late", Help: "1 while what the destination has not got is written to disk.", Type: metric.Gauge, Labels: byDestination}
	pending       = &metric.Desc{Name: "headend_agent_remote_write_samples_pending", Help: "Samples that wait for the destination.", Type: metric.Gauge, Labels: byDestination}
	oldestAge     = &metric.Desc{Name: "headend_agent_remote_write_oldest_pending_seconds", Help: "Age of the oldest sample that waits for the destination.", Type: metric.Gauge, Unit: metric.Seconds, Labels: byDestination}
)

// Descs lists what Collect emits.
func Descs() []*metric.Desc {
	return []*metric.Desc{appended, memoryBytes, memoryLimit, delivered, refused, uncertain, dropped, pending, oldestAge,
		bufferMode, diskErrors, diskCommits, diskWritten, diskSlots, damagedFrames, tailBytes, tailLost, repeated, late}
}

// Collect adds the buffer's own numbers.
func (b *Buffer) Collect(_ context.Context, out *metric.Set) error {
	s := b.Stats()
	out.Add(appended, float64(s.Appended))
	out.Add(memoryBytes, float64(s.Bytes))
	out.Add(memoryLimit, float64(b.cfg.Memory))
	for _, m := range []Mode{ModeDisk, ModePartial, ModeMemory} {
		out.Add(bufferMode, truth(s.Mode == m), string(m))
	}
	for _, errno := range slices.Sorted(maps.Keys(s.Errors)) {
		out.Add(diskErrors, float64(s.Errors[errno]), errno)
	}
	out.Add(diskCommits, float64(s.Commits))
	out.Add(diskWritten, float64(s.Written))
	out.Add(diskSlots, float64(s.Slots))
	out.Add(damagedFrames, float64(s.Damaged))
	if s.Tail {
		out.Add(tailBytes, float64(s.TailSize))
	}
	out.Add(tailLost, float64(s.TailLost))
	for _, name := range slices.Sorted(maps.Keys(s.Destinations)) {
		d := s.Destinations[name]
		out.Add(delivered, float64(d.Delivered), name)
		out.Add(refused, float64(d.Refused), name)
		out.Add(uncertain, float64(d.Uncertain), name)
		out.Add(dropped, float64(d.Dropped["overflow"]), name, "overflow") // there from the start, for rate()
		for _, reason := range slices.Sorted(maps.Keys(d.Dropped)) {
			if reason != "overflow" {
				out.Add(dropped, float64(d.Dropped[reason]), name, reason)
			}
		}
		out.Add(pending, float64(d.Pending), name)
		out.Add(oldestAge, d.OldestAge, name)
		out.Add(repeated, float64(d.Repeated), name)
		out.Add(late, truth(d.Late), name)
	}
	return nil
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
