// Package lean keeps the resident memory of the process small.
package lean

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"
)

// piece is the most that a page fault in a file's mapping brings in, bytes.
const piece = 16 << 10

// Out gives memory back: free memory of the heap, and pages of files, the program's above all. To start touches much that is never
// used again. They are given back where nothing has written to them; what is still needed comes again from the page cache, piece by
// piece.
func Out() {
	debug.FreeOSMemory()
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer smaps.Close()
	clean := cleanMappings(smaps)
	for _, m := range clean { // all of them before the first page goes: the next instruction brings it back
		m.cut()
	}
	for _, m := range clean {
		m.advise(unix.MADV_DONTNEED) // nothing is lost where it fails
	}
}

type mapping struct{ start, end uintptr }

// cut makes pieces of a mapping. A page fault maps what lies around it too, since Linux 6.18 the whole folio of the page cache, which may
// be 2 MiB, but nothing beyond the mapping. So every other piece gets a flag that makes it a mapping of its own, and does nothing
// else: a core dump leaves pages of files out anyway, save the headers that name a program, in its first page. The first piece stays as it is.
func (m mapping) cut() {
	for at := (m.start/piece + 1) * piece; at < m.end; at += 2 * piece {
		mapping{at, min(at+piece, m.end)}.advise(unix.MADV_DONTDUMP)
	}
}

func (m mapping) advise(advice int) {
	unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, uintptr(advice))
}

// cleanMappings finds the mappings of files in the text of /proc/PID/smaps that are private, not writable, and have no page of their
// own, be it in memory or swapped out: what the dynamic linker has written is not in the file. Neighbours count as one.
func cleanMappings(smaps io.Reader) []mapping {
	var found []mapping
	var m mapping
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Bytes()
		if key, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.IndexByte(key, ' ') < 0 {
			own := string(key) == "Anonymous" || string(key) == "Swap"
			if own && string(bytes.TrimSpace(value)) != "0 kB" {
				m = mapping{}
			}
			if string(key) == "Swap" && m.end > m.start { // the later of the two
				if last := len(found) - 1; last >= 0 && found[last].end == m.start {
					found[last].end = m.end
				} else {
					found = append(found, m)
				}
			}
			continue
		}
		m = cleanMapping(line)
	}
	return found
}

// cleanMapping reads the line that begins a mapping; it ends with the file, if there is one. What is not wanted is empty.
func cleanMapping(line []byte) mapping {
	span, rest, _ := bytes.Cut(line, []byte(" "))
	from, to, _ := bytes.Cut(span, []byte("-"))
	start, err1 := strconv.ParseUint(string(from), 16, 64)
	end, err2 := strconv.ParseUint(string(to), 16, 64)
	readOnly := bytes.HasPrefix(rest, []byte("r--p ")) || bytes.HasPrefix(rest, []byte("r-xp "))
	name := bytes.IndexAny(rest, "/[") // of a file, or of something else
	if err1 != nil || err2 != nil || !readOnly || name < 0 || rest[name] != '/' {
		return mapping{}
	}
	return mapping{uintptr(start), uintptr(end)}
}
