package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// group writes a whole number with thin spaces between thousands.
func group(v float64) string {
	s := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	first := len(s) % 3
	if first == 0 {
		first = 3
	}
	if len(s) <= 4 {
		return s
	}
	parts := []string{s[:first]}
	for i := first; i < len(s); i += 3 {
		parts = append(parts, s[i:i+3])
	}
	return strings.Join(parts, "\u2009")
}

// span writes a time span in the two greatest of its units.
func span(seconds float64) string {
	if seconds < 0 {
		seconds = 0
	}
	s := int(math.Round(seconds))
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
	}
	return fmt.Sprintf("%d d %d h", s/86400, s/3600%24)
}

// brief writes a time span that is much shorter than a minute.
func brief(seconds float64) string {
	switch {
	case seconds < 1e-3:
		return trim(seconds*1e6) + " µs"
	case seconds < 1:
		return trim(seconds*1e3) + " ms"
	}
	return trim(seconds) + " s"
}

// size writes bytes.
func size(v float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < 1024 {
			return trim(v) + " " + unit
		}
		v /= 1024
	}
	return trim(v) + " TiB"
}

// bits writes a rate in bits a second.
func bits(v float64) string {
	for _, unit := range []string{"bit/s", "kbit/s", "Mbit/s"} {
		if v < 1000 {
			return trim(v) + " " + unit
		}
		v /= 1000
	}
	return trim(v) + " Gbit/s"
}

// offset writes how far another clock is from ours. Answers tell whole seconds.
func offset(seconds float64) string {
	switch {
	case seconds >= 1.5:
		return span(seconds) + " ahead"
	case seconds <= -1.5:
		return span(-seconds) + " behind"
	}
	return "as ours"
}

// longest is how many characters of a name or a message the page shows; the JSON has all.
const longest = 300

// short cuts what is too long for the page.
func short(text string) string {
	n := 0
	for i := range text {
		if n == longest {
			return text[:i] + "…"
		}
		n++
	}
	return text
}

// trim writes three digits.
func trim(v float64) string {
	if v < 10 {
		return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// ago writes how long ago something was.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return span(now.Sub(t).Seconds()) + " ago"
}
