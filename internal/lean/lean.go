// Package lean keeps the resident memory of the process small.
package lean

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// Out gives memory back: free memory of the heap, and pages of files, the program's above all. To start touches much that is never
// used again. They are given back where nothing has written to them; what is still needed comes again from the page cache.
func Out() {
	debug.FreeOSMemory()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range cleanMappings(string(smaps)) {
		syscall.Syscall(syscall.SYS_MADVISE, m.start, m.end-m.start, syscall.MADV_DONTNEED) // nothing is lost where it fails
	}
}

type mapping struct{ start, end uintptr }

// cleanMappings finds the mappings of files in the text of /proc/PID/smaps that are private, not writable, and have no page of their
// own, be it in memory or swapped out: what the dynamic linker has written is not in the file.
func cleanMappings(smaps string) []mapping {
	var found []mapping
	var m mapping
	for line := range strings.Lines(smaps) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 2 && strings.HasSuffix(f[0], ":"):
			own := f[0] == "Anonymous:" || f[0] == "Swap:"
			if own && f[1] != "0" {
				m = mapping{}
			}
			if f[0] == "Swap:" && m.end > m.start { // the later of the two
				found = append(found, m)
			}
		case len(f) >= 5: // the line that begins a mapping; it ends with the file, if there is one
			m = mapping{}
			from, to, _ := strings.Cut(f[0], "-")
			start, err1 := strconv.ParseUint(from, 16, 64)
			end, err2 := strconv.ParseUint(to, 16, 64)
			readOnly := f[1] == "r--p" || f[1] == "r-xp"
			if err1 == nil && err2 == nil && readOnly && len(f) > 5 && f[5][0] == '/' {
				m = mapping{uintptr(start), uintptr(end)}
			}
		}
	}
	return found
}
