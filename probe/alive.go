package probe

import (
	"time"

	"headend-agent/internal/metric"
)

// Overdue returns the loop that is latest, and by how much; 0 while each one turns as its interval and time limit say. A source
// that never answers does not make its loop late.
func (r *Runner) Overdue() (source metric.SourceID, late time.Duration) {
	r.mu.Lock()
	jobs := r.jobs
	r.mu.Unlock()
	for _, j := range jobs {
		j.mu.Lock()
		due := j.due
		j.mu.Unlock()
		if by := time.Since(due); !due.IsZero() && by > late {
			source, late = j.Source(), by
		}
	}
	return source, late
}

// expect notes until when the loop has to have turned.
func (j *job) expect(within time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.due = time.Now().Add(within)
}

// ended notes that the loop will not turn again.
func (j *job) ended() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.due = time.Time{}
}
