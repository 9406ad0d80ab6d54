package web

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// judge finds what wants attention, the worst first.
func (s *Status) judge(h *history) {
	add := func(level, fix, format string, args ...any) {
		s.Findings = append(s.Findings, Finding{level, fmt.Sprintf(format, args...), fix})
	}
	if !s.ConfigOK {
		add("warning", "headend-agent check-config names the line", "the configuration file is wrong; the one before is in force")
	}
	failing := 0
	for _, d := range s.Destinations {
		if d.Trouble != "" {
			failing++
		}
	}
	if len(s.Destinations) == 0 {
		add("warning", "add remote_write: to "+s.Config, "nowhere to send: samples can only be pulled from /metrics")
	}
	for _, d := range s.Destinations {
		if d.Trouble != "" {
			level := "warning"
			if failing == len(s.Destinations) {
				level = "trouble"
			}
			long := ""
			if !d.Since.IsZero() {
				long = " for " + span(s.Now.Sub(d.Since).Seconds())
			}
			add(level, "headend-agent doctor tries each step of the way", "%s: nothing gets through%s: %s", d.Name, long, d.Trouble)
		}
		fix := ""
		if d.Said != "" {
			fix = "the receiver said: " + d.Said
		}
		lost := increase(h.last("lost "+d.Name, historyLength))
		switch {
		case d.State == "refusing":
			add("trouble", fix, "%s: the receiver refuses everything, %s samples so far, with HTTP %d", d.Name, group(lost), d.LastStatus)
		case lost > 0:
			add("warning", fix, "%s: %s samples refused or dropped within the hour", d.Name, group(lost))
		}
		if d.Clock != nil && math.Abs(*d.Clock) > 30 {
			add("warning", "timedatectl; start chrony or systemd-timesyncd", "%s: its clock and ours are %s apart", d.Name, span(math.Abs(*d.Clock)))
		}
	}
	if s.Ring.Mode == "memory" && s.Ring.Path != "" {
		add("warning", "headend-agent doctor says what is wrong with "+s.Ring.Path, "the buffer is in memory only")
	}
	if n := len(s.Ring.Slots); s.Ring.Room > 0 && n*10 > s.Ring.Room*9 {
		add("warning", "mend the uplink, or give buffer: size more", "the ring is nearly full: %d of %d slots", n, s.Ring.Room)
	}
	s.judgeSources(add)
	slices.SortStableFunc(s.Findings, func(a, b Finding) int { return strings.Compare(a.Level, b.Level) }) // trouble before warning
	s.Health = "ok"
	if len(s.Findings) > 0 {
		s.Health = s.Findings[0].Level
	}
}

// judgeSources does the same for what is probed.
func (s *Status) judgeSources(add func(level, fix, format string, args ...any)) {
	for _, p := range s.Probes {
		if p.Error == "" {
			continue
		}
		level := "warning"
		if slices.Contains(mediaServers, p.Name) {
			level = "trouble"
		}
		add(level, "headend-agent doctor says what helps", "%s fails: %s", strings.TrimSpace(p.Name+" "+p.Target), p.Error)
	}
	for _, d := range s.Devices {
		if d.State == "trouble" {
			add("trouble", d.fix, "%s %s: %s", d.Kind, d.Name, strings.Join(d.Detail, ", "))
		}
	}
	var down []string
	for _, x := range s.Streams {
		if x.State == "down" {
			down = append(down, short(x.Name))
		}
	}
	if n := len(down); n > 0 {
		verb, named, fix := "are", strings.Join(down[:min(n, downNamed)], ", "), "many at once have one cause: the network, a tuner, a full disk"
		if n == 1 {
			verb, fix = "is", "play its source from here: ffprobe URL"
		}
		if n > downNamed {
			named += fmt.Sprintf(" and %d more", n-downNamed)
		}
		add("trouble", fix, "%d of %d streams %s down: %s", n, len(s.Streams), verb, named)
	}
}

// downNamed is how many streams a finding names.
const downNamed = 3

// increase is how much a track that only grows has grown; where it fell, the agent has started anew.
func increase(values []float64) (sum float64) {
	last := math.NaN()
	for _, v := range values {
		if v > last {
			sum += v - last
		}
		if !math.IsNaN(v) {
			last = v
		}
	}
	return sum
}
