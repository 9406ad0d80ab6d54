// Package nvmlchild is the process that talks to NVIDIA's driver library, and the words it exchanges with the agent. A driver
// library can hang, crash or end the process that calls it; so the agent runs itself again as this one and keeps away from it.
package nvmlchild

import "fmt"

// The child gets requests, one byte each, on its standard input, and answers each with a Report on AnswerFD; frame.go says how
// it is written. The first comes unasked, when the library is loaded or was not to be had. The end of the input ends the child.
const (
	SampleRequest = 's'
	AnswerFD      = 3

	// LibraryFlag is the child's flag for another library than libnvidia-ml.so.1.
	LibraryFlag = "library"

	maxGPUs = 64  // and errors of one kind at once
	maxList = 256 // readings of a GPU, calls that fail
	maxText = 1024
)

// Report is what the library says now.
type Report struct {
	Code    int    // NVML's return code of the start; nothing but Text is set where it is not 0
	Text    string // what went wrong at the start
	Driver  string // version
	Library string // the file that is loaded

	Replaced bool   // another file has taken the library's place
	RSS      uint64 // resident memory of the child, bytes
	GPUs     []GPU
	XIDs     []XID   // since the last report
	Errors   []Error // of this report
}

// GPU is one device. What it does not support has no reading.
type GPU struct {
	Index    int
	PCI      string // as in sysfs: 0000:3b:00.0
	UUID     string
	Name     string
	Lost     int                // the code that says it does not answer; 0 while it does
	Readings map[string]float64 // by key, in the driver's units
}

// XID is a critical error of the driver.
type XID struct {
	PCI string
	XID uint64
	N   uint64
}

// Error counts failures of a call, other than its not being supported.
type Error struct {
	Call string
	Code int
	N    uint64
}

// Codes of NVML that the agent acts on.
const (
	CodeNotLoaded = 9  // the kernel module is not there
	CodeNoLibrary = 12 // nor the library
	CodeMismatch  = 18 // library and kernel module are of different releases
	CodeNotBuilt  = -1 // ours: this build has no NVML
)

// pciAddress writes an address as sysfs does.
func pciAddress(domain, bus, device uint32) string {
	return fmt.Sprintf("%04x:%02x:%02x.0", domain, bus, device)
}

// isPCI tells whether s is an address as sysfs writes it.
func isPCI(s string) bool {
	const form = "0000:00:00.0"
	i := len(s) - len(form) // domains of some machines have more digits
	if i < 0 || i > 4 {
		return false
	}
	for j := range s {
		hex := s[j] >= '0' && s[j] <= '9' || s[j] >= 'a' && s[j] <= 'f'
		if wants := j < i || form[j-i] == '0'; wants != hex || !wants && s[j] != form[j-i] {
			return false
		}
	}
	return true
}
