//go:build linux && cgo && !nonvml

package nvmlchild

import (
	"os"
	"strings"
	"syscall"

	"github.com/NVIDIA/go-nvml/pkg/dl"
	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Built tells whether this build can talk to NVIDIA's library.
const Built = true

// driver is the loaded library.
type driver struct {
	lib      nvml.Interface
	version  string
	file     mapped
	replaced bool
	events   nvml.EventSet
	count    int // devices at the last enumeration
	gpus     []*gpu
	has      map[string]bool // symbols of the library
	errors   map[failure]uint64
	xids     map[xid]uint64
}

type failure struct {
	call string
	code nvml.Return
}

type xid struct {
	pci  string
	code uint64
}

// open loads the library and makes it find its devices. The driver is nil where that fails.
func open(path string) (*driver, *Report) {
	const soname = "libnvidia-ml.so.1"
	opts := []nvml.LibraryOption{}
	if path == "" {
		path = soname
	} else {
		opts = append(opts, nvml.WithLibraryPath(path))
	}
	// go-nvml does not tell why a library cannot be loaded.
	file := dl.New(path, dl.RTLD_LAZY|dl.RTLD_GLOBAL)
	if err := file.Open(); err != nil {
		return nil, &Report{Code: CodeNoLibrary, Text: shorten(err.Error())}
	}
	if err := file.Lookup("nvmlInit_v2"); err != nil {
		return nil, &Report{Code: CodeNoLibrary, Text: shorten(err.Error())}
	}
	d := &driver{lib: nvml.New(opts...), has: map[string]bool{}, errors: map[failure]uint64{}, xids: map[xid]uint64{}}
	if code := d.lib.Init(); code != nvml.SUCCESS {
		text := "nvmlInit failed"
		if d.symbol("nvmlErrorString") {
			text = shorten(d.lib.ErrorString(code))
		}
		return nil, &Report{Code: int(code), Text: text}
	}
	d.file = mappedLibrary(path)
	if d.symbol("nvmlSystemGetDriverVersion") {
		d.version, _ = d.lib.SystemGetDriverVersion()
		d.version = shorten(d.version)
	}
	if d.symbol("nvmlEventSetCreate") && d.symbol("nvmlDeviceRegisterEvents") && (d.symbol("nvmlEventSetWait_v2") || d.symbol("nvmlEventSetWait")) {
		set, code := d.lib.EventSetCreate()
		if code == nvml.SUCCESS {
			d.events = set
		} else {
			d.failed("EventSetCreate", code)
		}
	}
	return d, &Report{Driver: d.version, Library: d.file.path}
}

// symbol tells whether the library has a function. To call one that it lacks ends the process, and no recover helps.
func (d *driver) symbol(name string) bool {
	has, known := d.has[name]
	if !known {
		has = d.lib.Extensions().LookupSymbol(name) == nil
		d.has[name] = has
	}
	return has
}

// failed counts a call's failure. Not to be supported, or to have nothing to tell, is none; nor is it that a driver is too old, or too
// new, for a question: what may be invalid is never more than the kind of what is asked for.
func (d *driver) failed(call string, code nvml.Return) {
	switch code {
	case nvml.SUCCESS, nvml.ERROR_NOT_SUPPORTED, nvml.ERROR_NOT_FOUND, nvml.ERROR_FUNCTION_NOT_FOUND, nvml.ERROR_NO_DATA:
	case nvml.ERROR_INVALID_ARGUMENT, nvml.ERROR_ARGUMENT_VERSION_MISMATCH, nvml.ERROR_DEPRECATED:
	default:
		d.errors[failure{call, code}]++
	}
}

func (d *driver) close() {
	if d.events != nil && d.symbol("nvmlEventSetFree") {
		d.events.Free()
	}
	d.lib.Shutdown()
}

// mapped is a library's file as the process has mapped it.
type mapped struct {
	path string
	ino  uint64
}

// mappedLibrary finds the file in /proc/self/maps: the linker has looked for it where it wanted.
func mappedLibrary(path string) mapped {
	name := path[strings.LastIndexByte(path, '/')+1:]
	name, _, _ = strings.Cut(name, ".so")
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return mapped{}
	}
	for line := range strings.Lines(string(maps)) {
		i := strings.IndexByte(line, '/')
		if i < 0 {
			continue
		}
		file := strings.TrimSpace(line[i:])
		if strings.HasPrefix(file[strings.LastIndexByte(file, '/')+1:], name+".so") {
			return mapped{file, inode(file)}
		}
	}
	return mapped{}
}

// look sees whether another file is where the library was.
func (d *driver) look() {
	d.replaced = d.file.ino != 0 && inode(d.file.path) != d.file.ino
}

func inode(path string) uint64 {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return 0
	}
	return st.Ino
}

// shorten bounds what the driver says of itself.
func shorten(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxText)], "")
}
