package stream

import (
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"headend-agent/probe"
)

const (
	nameLimit     = 512 // bytes of a stream's name that go into a label
	statusLimit   = 32
	forgetBeyond  = 1000 // names that no longer come, beside as many as do
	statusesLimit = 64   // different ones
)

// names holds the labels of the streams of one server: made once, and each handed out once a run.
type names struct {
	known    map[string]*name
	statuses map[string]string
	run      uint64
	live     int
}

type name struct {
	label string
	run   uint64 // the last one it came in

	bytes   float64 // received until at, in run before
	at      time.Time
	started stableTime
}

func (n *names) begin() {
	if n.known == nil {
		n.known, n.statuses = map[string]*name{}, map[string]string{}
	}
	if len(n.known) > 2*n.live+forgetBeyond {
		for key, x := range n.known {
			if x.run != n.run {
				delete(n.known, key)
			}
		}
	}
	n.run++
	n.live = 0
}

// take returns what is known of a stream; nil where the run had the stream already, it has no name, or there are more of them than
// a probe may have series.
func (n *names) take(raw []byte) *name {
	if len(raw) == 0 || n.live >= probe.SeriesLimit {
		return nil
	}
	x := n.known[string(raw)]
	if x == nil {
		label := cutName(string(raw)) // stands for the name, which may be far too long to be kept
		if x = n.known[label]; x == nil {
			x = &name{label: label}
			n.known[label] = x
		}
	}
	if x.run == n.run {
		return nil
	}
	if x.run+1 != n.run {
		x.at = time.Time{}
	}
	x.run = n.run
	n.live++
	return x
}

// rate is how fast bytes have come since the last run, in bit/s; absent in the first one and after a restart.
func (x *name) rate(bytes value, now time.Time) (rate value) {
	if !bytes.ok {
		return value{}
	}
	if d := now.Sub(x.at).Seconds(); !x.at.IsZero() && d > 0 && bytes.v >= x.bytes {
		rate = some((bytes.v - x.bytes) * 8 / d)
	}
	x.bytes, x.at = bytes.v, now
	return rate
}

// stableTime is the start of something that tells only its age. Rounding must not move it from run to run.
type stableTime struct{ value }

// since returns the Unix time of the start.
func (t *stableTime) since(ageSeconds value, now time.Time) value {
	if !ageSeconds.ok {
		return value{}
	}
	start := math.Round(float64(now.UnixMilli())/1000 - ageSeconds.v)
	if !t.ok || math.Abs(start-t.v) > 2 {
		t.value = some(start)
	}
	return t.value
}

// cutName keeps a name that is short enough as it is. Of a longer one the beginning stays, and a hash that tells it from others.
func cutName(s string) string {
	if len(s) <= nameLimit {
		return s
	}
	h := fnv.New64a()
	h.Write([]byte(s))
	end := nameLimit - 17
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s~%016x", s[:end], h.Sum64())
}

// status returns a status as a label. Servers have few of them: what is not a short word, or too many, is "other".
func (n *names) status(raw []byte) string {
	if s, ok := n.statuses[string(raw)]; ok {
		return s
	}
	word := func(r rune) bool {
		return r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	s := string(raw)
	if len(s) > statusLimit || strings.IndexFunc(s, func(r rune) bool { return !word(r) }) >= 0 || len(n.statuses) >= statusesLimit {
		return "other"
	}
	n.statuses[s] = s
	return s
}
