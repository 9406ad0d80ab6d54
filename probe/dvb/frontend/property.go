package frontend

import "encoding/binary"

// Command is a DTV_ command: a property of a frontend.
type Command uint32

// Properties of what is tuned, and the statistics (API 5.10, Linux 3.9).
const (
	Frequency          Command = 3
	DeliverySystem     Command = 17
	APIVersion         Command = 35
	EnumDelivery       Command = 44
	StatSignalStrength Command = 62
	StatCNR            Command = 63
	StatPreErrorBits   Command = 64
	StatPreTotalBits   Command = 65
	StatPostErrorBits  Command = 66
	StatPostTotalBits  Command = 67
	StatErrorBlocks    Command = 68
	StatTotalBlocks    Command = 69
)

// Property is an answer. What it holds depends on the command.
type Property struct {
	Command Command
	union   [unionSize]byte
}

// PropertyFrom makes an answer of the bytes of the kernel's union: for tests of programs that use this package.
func PropertyFrom(c Command, union []byte) Property {
	p := Property{Command: c}
	copy(p.union[:], union)
	return p
}

// Data is the value of a property that is one number.
func (p *Property) Data() uint32 { return binary.NativeEndian.Uint32(p.union[:]) }

// Systems is the value of EnumDelivery.
func (p *Property) Systems() []System {
	n := min(binary.NativeEndian.Uint32(p.union[bufferLenAt:]), bufferSize)
	systems := make([]System, n)
	for i := range systems {
		systems[i] = System(p.union[i])
	}
	return systems
}

// Scale is enum fecap_scale_params.
type Scale uint8

// The scales.
const (
	NotAvailable Scale = iota // not now: no signal yet, or too early
	Decibel                   // thousandths of a decibel; for the strength, of a dBm
	Relative                  // 0 to 65535
	Counter                   // grows, and may begin again when the frontend is tuned
)

// Stat is one value of a statistic.
type Stat struct {
	Scale Scale
	value uint64
}

// Decibels is the value on the scale Decibel, in dB or dBm.
func (s Stat) Decibels() float64 { return float64(int64(s.value)) / 1000 }

// Count is the value on the scale Counter or Relative.
func (s Stat) Count() uint64 { return s.value }

// maxStats leaves out the last of the kernel's four: the core takes bytes of it for another member of the union.
const maxStats = 3

// Stats is a statistic. Several values are the layers of ISDB after their sum, or, by some drivers, one reading on several
// scales.
type Stats struct {
	values [maxStats]Stat
	n      int
}

// Known tells whether the driver has this statistic at all, available now or not.
func (s Stats) Known() bool { return s.n > 0 }

// First returns the first value if it is on a scale: that of the whole where the others are of layers.
func (s Stats) First(scale Scale) (Stat, bool) {
	if s.n > 0 && s.values[0].Scale == scale {
		return s.values[0], true
	}
	return Stat{}, false
}

// On returns the first of the values that are on a scale.
func (s Stats) On(scale Scale) (Stat, bool) {
	for _, v := range s.values[:s.n] {
		if v.Scale == scale {
			return v, true
		}
	}
	return Stat{}, false
}

// Stats is the value of a statistic's property.
func (p *Property) Stats() Stats {
	s := Stats{n: min(int(p.union[0]), maxStats)}
	for i := range s.n {
		at := statsAt + i*statsSize
		s.values[i] = Stat{Scale(p.union[at]), binary.NativeEndian.Uint64(p.union[at+1:])}
	}
	return s
}
