package gpu

import (
	"math"

	"headend-agent/internal/metric"
	"headend-agent/probe/gpu/nvmlchild"
)

// reading is where a reading of NVIDIA's driver goes.
type reading struct {
	key   string // as the child names it
	desc  *metric.Desc
	unit  float64 // the driver's, in the family's
	label string  // value of the third label, where the family has one
}

const (
	percent = 0.01
	milli   = 1e-3
	micro   = 1e-6
	nano    = 1e-9
	mega    = 1e6
)

// scaled is v units. It is divided where it can be, so that decimal numbers stay what they are.
func scaled(v, unit float64) float64 {
	if unit < 1 {
		return v / math.Round(1/unit)
	}
	return v * unit
}

var readings = []reading{
	{"enc", flussonicEnc, 1, ""},
	{"dec", flussonicDec, 1, ""},
	{"temp_gpu", flussonicTemp, 1, ""},
	{"sessions_h264", sessions, 1, "h264"},
	{"sessions_hevc", sessions, 1, "hevc"},
	{"sessions_av1", sessions, 1, "av1"},
	{"fps", encoderFPS, 1, ""},
	{"latency", encoderDelay, micro, ""},
	{"temp_gpu", temperature, 1, "gpu"},
	{"temp_memory", temperature, 1, "memory"},
	{"temp_margin", tempMargin, 1, ""},
	{"memory_used", memoryUsed, 1, ""},
	{"memory_total", memoryTotal, 1, ""},
	{"power", power, milli, ""},
	{"power_limit", powerLimit, milli, ""},
	{"energy", energy, milli, ""},
	{"clock_graphics", clockNow, mega, "graphics"},
	{"clock_sm", clockNow, mega, "sm"},
	{"clock_memory", clockNow, mega, "memory"},
	{"clock_video", clockNow, mega, "video"},
	{"clock_max_graphics", clockMax, mega, "graphics"},
	{"clock_max_sm", clockMax, mega, "sm"},
	{"clock_max_memory", clockMax, mega, "memory"},
	{"clock_max_video", clockMax, mega, "video"},
	{"fan", fan, percent, ""},
	{"pcie_tx", pcieBytes, 1, "transmit"},
	{"pcie_rx", pcieBytes, 1, "receive"},
	{"throttled_power", throttled, nano, "power"},
	{"throttled_sync_boost", throttled, nano, "sync_boost"},
	{"throttled_thermal", throttled, nano, "thermal"},
	{"throttled_hardware_thermal", throttled, nano, "hardware_thermal"},
	{"throttled_power_brake", throttled, nano, "power_brake"},
	{"ecc_corrected", eccErrors, 1, "corrected"},
	{"ecc_uncorrected", eccErrors, 1, "uncorrected"},
}

// engines are the readings of utilization, by the value of the label "engine".
var engines = []struct{ key, engine string }{
	{"enc", "enc"}, {"dec", "dec"}, {"jpeg", "jpeg"}, {"ofa", "ofa"}, {"gpu", "graphics"},
}

// addReadings adds what a GPU of NVIDIA's says.
func addReadings(out *metric.Set, g *nvmlchild.GPU, gpu string) {
	for _, e := range engines {
		v, ok := g.Readings[e.key+"_average"]
		if !ok {
			v, ok = g.Readings[e.key]
		}
		if ok {
			out.Add(engineRatio, scaled(v, percent), gpu, g.PCI, e.engine)
		}
		if v, ok := g.Readings[e.key+"_max"]; ok {
			out.Add(engineMax, scaled(v, percent), gpu, g.PCI, e.engine)
		}
	}
	for i := range readings {
		r := &readings[i]
		v, ok := g.Readings[r.key]
		switch {
		case !ok:
		case r.label == "":
			out.Add(r.desc, scaled(v, r.unit), gpu, g.PCI)
		default:
			out.Add(r.desc, scaled(v, r.unit), gpu, g.PCI, r.label)
		}
	}
}
