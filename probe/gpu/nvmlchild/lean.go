package nvmlchild

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// lean gives memory back. Most of it is pages of files: the start of a whole agent touches much that the child never uses again. They
// are given back where nothing has written to them; what is still needed comes again from the page cache.
func lean() {
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

// cleanMappings finds the mappings of files in the text of /proc/PID/smaps that are private, not writable, and have no page of their own.
func cleanMappings(smaps string) []mapping {
	var found []mapping
	var m mapping
	for line := range strings.Lines(smaps) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 2 && strings.HasSuffix(f[0], ":"):
			if f[0] == "Anonymous:" && f[1] == "0" && m.end > m.start {
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
