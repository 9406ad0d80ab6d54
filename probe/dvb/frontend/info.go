package frontend

import (
	"bytes"
	"strings"
)

// Info is what a frontend says of itself.
type Info struct {
	Name                       string // as the driver calls it
	MinFrequency, MaxFrequency uint32 // in Hz; in kHz while the delivery system is a satellite's
	MinSymbolRate              uint32 // symbols per second, 0 where there are none
	MaxSymbolRate              uint32
}

func (raw *feInfo) decode() Info {
	name, _, _ := bytes.Cut(raw.name[:], []byte{0})
	return Info{
		Name:         strings.TrimSpace(strings.ToValidUTF8(string(name), "?")),
		MinFrequency: raw.minFrequency, MaxFrequency: raw.maxFrequency,
		MinSymbolRate: raw.minSymbolRate, MaxSymbolRate: raw.maxSymbolRate,
	}
}

// Status is enum fe_status, a set of flags.
type Status uint32

// The flags: how far the demodulator has got, and two about its search.
const (
	HasSignal  Status = 1 << iota // something above the noise
	HasCarrier                    // a DVB signal
	HasViterbi                    // the inner error correction is stable
	HasSync                       // synchronisation bytes were found
	HasLock                       // everything works
	TimedOut                      // no lock within the time that the driver allows
	Reinit                        // the frontend was reinitialised
)

var statusNames = [...]string{"signal", "carrier", "viterbi", "sync", "lock", "timedout", "reinit"}

// Flags yields every flag with its name, and whether it is set.
func (s Status) Flags(yield func(name string, set bool) bool) {
	for i, name := range statusNames {
		if !yield(name, s&(1<<i) != 0) {
			return
		}
	}
}

// String lists the flags that are set.
func (s Status) String() string {
	var set []string
	for name, is := range s.Flags {
		if is {
			set = append(set, name)
		}
	}
	return strings.Join(set, ",")
}

// System is enum fe_delivery_system.
type System uint32

var systemNames = [...]string{
	"", "DVB-C/A", "DVB-C/B", "DVB-T", "DSS", "DVB-S", "DVB-S2", "DVB-H", "ISDB-T", "ISDB-S", "ISDB-C", "ATSC", "ATSC-M/H", "DTMB",
	"CMMB", "DAB", "DVB-T2", "Turbo", "DVB-C/C", "DVB-C2",
}

// String is the system's usual name; "" for one that is undefined or newer than this package.
func (s System) String() string {
	if int64(s) < int64(len(systemNames)) {
		return systemNames[s]
	}
	return ""
}

// Satellite tells whether the kernel counts this system's frequencies in kHz, and behind the LNB.
func (s System) Satellite() bool {
	switch s.String() {
	case "DVB-S", "DVB-S2", "ISDB-S", "Turbo":
		return true
	}
	return false
}

// Layered tells whether a statistic's values after the first are those of layers.
func (s System) Layered() bool { return s.String() == "ISDB-T" }
