package push

import (
	"log/slog"
	"strings"
	"sync"
	"time"
)

// reporter logs what changes about a destination, once.
type reporter struct {
	log *slog.Logger

	mu      sync.Mutex
	class   string    // of the trouble that there is, "" when there is none
	text    string    // of it
	since   time.Time // of it
	worked  bool      // something has been answered since the start
	refused map[string]time.Time
}

// quiet is how long a refusal of the same status is not logged again.
const quiet = 10 * time.Minute

// trouble notes a failed attempt.
func (r *reporter) trouble(class, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.class == "" {
		r.since = time.Now()
	}
	if r.class != class {
		r.log.Warn("remote write does not get through; samples are kept", "reason", text)
	}
	r.class, r.text = class, text
}

// recovered notes that an attempt got through. It returns how long none did, and whether this is the first one since the start.
func (r *reporter) recovered() (outage time.Duration, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.class != "" {
		outage = time.Since(r.since)
		r.log.Info("remote write works again", "after", outage.Round(time.Millisecond))
		r.class, r.text = "", ""
	}
	first, r.worked = !r.worked, true
	return outage, first
}

// refusal logs why samples were refused: the receiver's words.
func (r *reporter) refusal(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	status, _, _ := strings.Cut(text, ":")
	if last, ok := r.refused[status]; ok && time.Since(last) < quiet {
		return
	}
	if r.refused == nil {
		r.refused = map[string]time.Time{}
	}
	r.refused[status] = time.Now()
	r.log.Warn("the receiver refuses samples; they are counted, and not sent again", "answer", text)
}

func (r *reporter) inTrouble() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.class != ""
}

// now returns the trouble that there is.
func (r *reporter) now() (class, text string, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.class, r.text, r.since
}

// warnings logs what may go wrong soon.
func (r *reporter) warnings(cfg Config) {
	for _, w := range cfg.Warnings() {
		r.log.Warn(w)
	}
}
