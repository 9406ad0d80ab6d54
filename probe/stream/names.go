package stream

import (
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"
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

// label returns a stream's label; false where the run had the stream already, or it has no name.
func (n *names) label(raw []byte) (string, bool) {
	if len(raw) == 0 {
		return "", false
	}
	x := n.known[string(raw)]
	if x == nil {
		x = &name{label: cutName(string(raw))}
		n.known[string(raw)] = x
	}
	if x.run == n.run {
		return "", false
	}
	x.run = n.run
	n.live++
	return x.label, true
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
