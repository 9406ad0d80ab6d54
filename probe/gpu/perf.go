package gpu

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// event is a counter of a performance monitoring unit.
type event interface {
	Read() (uint64, error)
	Close() error
}

// openEvent opens a counter for all processes, on the CPU that its unit wants to be read on.
type openEvent func(unit uint32, config uint64, cpu int) (event, error)

type perfEvent struct{ *os.File }

// openPerf is openEvent by perf_event_open(2). It needs CAP_PERFMON, or CAP_SYS_ADMIN before Linux 5.8.
func openPerf(unit uint32, config uint64, cpu int) (event, error) {
	attr := unix.PerfEventAttr{Type: unit, Config: config, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
	fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open performance counter %d/%#x: %w", unit, config, err)
	}
	return perfEvent{os.NewFile(uintptr(fd), "perf")}, nil
}

func (e perfEvent) Read() (uint64, error) {
	var b [8]byte
	if _, err := e.File.Read(b[:]); err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(b[:]), nil
}
