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
	class   string          // of the trouble that there is, "" when there is none
	text    string          // of it
	since   time.Time       // of it
	said    map[string]bool // classes that were logged in this outage
	worked  bool            // something has been answered since the start
	refused map[string]time.Time
	aged    time.Time // when tooOld was said
	last    string    // refusal
	skewed  bool      // the clocks differ, and that was said
	packing time.Time // when a change of compression was logged
	reduced bool      // requests are smaller than they might be, and that was said
}

const (
	quiet   = 10 * time.Minute // so long a refusal of the same status is not logged again
	maxSkew = time.Minute      // between the receiver's clock and ours
)

// trouble notes a failed attempt. Within an outage each kind of failure is logged once.
func (r *reporter) trouble(class string, v verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.class == "" {
		r.since = time.Now()
		clear(r.said)
	}
	r.class, r.text = class, v.why
	if r.said[class] {
		return
	}
	if r.said == nil {
		r.said = map[string]bool{}
	}
	r.said[class] = true
	switch {
	case v.stranger:
		r.log.Error("something else answers in the receiver's place; samples are kept until it is the receiver", "answer", v.why)
	case class == "silent" || class == "unproven":
		r.log.Warn("it is not clear that the receiver answers; samples are kept", "answer", v.why)
	case v.longest == backoffWrong:
		r.log.Error("the receiver does not let us in; samples are kept until the configuration or the receiver is changed", "answer", v.why)
	default:
		r.log.Warn("remote write does not get through; samples are kept", "reason", v.why)
	}
}

// words returns the receiver's own about what it refused last.
func (r *reporter) words() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
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
	r.last = text
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

// tooOld says, once in a while, what a receiver needs that refuses samples for their age.
func (r *reporter) tooOld() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.aged.IsZero() && time.Since(r.aged) < quiet {
		return
	}
	r.aged = time.Now()
	r.log.Warn("the receiver refuses what is older than it wants; that is counted, and lost. A Prometheus takes the backlog of an outage with " +
		"storage.tsdb.out_of_order_time_window in its configuration, Mimir with out_of_order_time_window in its limits")
}

// clock is told how far the receiver's clock is ahead.
func (r *reporter) clock(ahead time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if skewed := ahead.Abs() > maxSkew; skewed != r.skewed {
		r.skewed = skewed
		if skewed {
			r.log.Warn("the receiver's clock and this host's differ; one of them is wrong", "ahead", ahead.Round(time.Second))
		} else {
			r.log.Info("the receiver's clock and this host's agree again")
		}
	}
}

// size is told whether requests are smaller than they might be, and what one was that failed.
func (r *reporter) size(reduced bool, bytes, samples int, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if reduced == r.reduced {
		return
	}
	if r.reduced = reduced; reduced {
		r.log.Info("a request may be too large for the receiver or the line; the next ones are smaller", "bytes", bytes, "samples", samples, "answer", why)
	} else {
		r.log.Info("requests have their full size again")
	}
}

// renamed is told how many samples wait for a sender whose external labels have changed.
func (r *reporter) renamed(samples int, age time.Duration) {
	r.log.Warn("the host's name or external labels have changed; the samples that wait go out under the new ones, as other series",
		"samples", samples, "oldest", age.Round(time.Second))
}

// idle is told how long connections may be idle, as far as learned.
func (r *reporter) idle(forgotten, limit time.Duration) {
	r.log.Warn("something on the way, like a NAT gateway, forgets connections that are idle; they are closed before, for a day", "idle",
		forgotten.Round(100*time.Millisecond), "closed_after", limit.Round(100*time.Millisecond))
}

// compression logs a change of it, unless one was logged lately: what makes it fail may come and go.
func (r *reporter) compression(what, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.packing.IsZero() && time.Since(r.packing) < time.Hour {
		return
	}
	r.packing = time.Now()
	r.log.Info(what, "answer", why)
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
