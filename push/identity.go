package push

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"headend-agent/internal/metric"
)

// External labels are added as samples go out, so those that wait while a host is renamed go out under its new name: as new series.
// Nothing is lost, but a batch whose answer was lost may then be with the receiver under both names; it is counted as one that may
// have come twice. So that a change can be told, the note that outlives a restart ends with a mark of the labels.

const beforeMark = " #"

// marked is a Source whose note ends with a mark.
type marked struct {
	Source
	mark string
}

// markOf is a short text that differs between sets of labels, which are sorted.
func markOf(external []metric.Label) string {
	h := fnv.New32a()
	for _, l := range external {
		fmt.Fprintf(h, "%q%q", l.Name, l.Value)
	}
	return fmt.Sprintf("%08x", h.Sum32())
}

func (m *marked) Note() string {
	text, _, _ := strings.Cut(m.Source.Note(), beforeMark)
	return text
}

func (m *marked) SetNote(text string) { m.Source.SetNote(text + beforeMark + m.mark) }

// remark puts the mark into the note. Samples that wait and were to go out under other labels are reported.
func (s *Sender) remark() {
	m := s.source
	text, mark, known := strings.Cut(m.Source.Note(), beforeMark)
	if mark == m.mark {
		return
	}
	m.SetNote(text)
	if n, age := m.Pending(); known && n > 0 && age > 2*time.Duration(s.cfg.FlushInterval) {
		s.report.renamed(n, age)
	}
}
