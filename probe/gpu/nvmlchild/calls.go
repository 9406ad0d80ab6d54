//go:build linux && cgo && !nonvml

package nvmlchild

import "github.com/NVIDIA/go-nvml/pkg/nvml"

// call is a question to the library. Its readings bear the keys that the agent's table knows, in the library's units.
type call struct {
	name    string
	symbols []string // functions it needs, beyond those that every release has
	read    func(*driver, *gpu) nvml.Return
}

// calls are in the order in which they are asked: the cheap and universal first.
var calls = []call{
	one("GetTemperature", "temp_gpu", func(d nvml.Device) (uint32, nvml.Return) { return d.GetTemperature(nvml.TEMPERATURE_GPU) }),
	one("GetPowerUsage", "power", nvml.Device.GetPowerUsage),
	one("GetEnforcedPowerLimit", "power_limit", nvml.Device.GetEnforcedPowerLimit),
	one("GetTotalEnergyConsumption", "energy", nvml.Device.GetTotalEnergyConsumption),
	one("GetFanSpeed", "fan", nvml.Device.GetFanSpeed),
	{"GetUtilizationRates", symbols("GetUtilizationRates"), func(_ *driver, g *gpu) nvml.Return {
		u, code := g.dev.GetUtilizationRates()
		if code == nvml.SUCCESS {
			g.readings["gpu"] = float64(u.Gpu)
		}
		return code
	}},
	{"GetEncoderCapacity", symbols("GetEncoderCapacity"), readCodecs},
	{"GetEncoderUtilization", symbols("GetEncoderUtilization"), func(_ *driver, g *gpu) nvml.Return {
		u, _, code := g.dev.GetEncoderUtilization()
		g.noEncoder = g.noEncoder && u == 0
		if code == nvml.SUCCESS && !g.noEncoder {
			g.readings["enc"] = float64(u)
		}
		return code
	}},
	engine("GetDecoderUtilization", "dec", nvml.Device.GetDecoderUtilization),
	engine("GetJpgUtilization", "jpeg", nvml.Device.GetJpgUtilization),
	engine("GetOfaUtilization", "ofa", nvml.Device.GetOfaUtilization),
	history("enc", nvml.ENC_UTILIZATION_SAMPLES),
	history("dec", nvml.DEC_UTILIZATION_SAMPLES),
	history("jpeg", nvml.JPG_UTILIZATION_SAMPLES),
	history("ofa", nvml.OFA_UTILIZATION_SAMPLES),
	history("gpu", nvml.GPU_UTILIZATION_SAMPLES),
	{"GetEncoderStats", symbols("GetEncoderStats"), func(_ *driver, g *gpu) nvml.Return {
		n, fps, latency, code := g.dev.GetEncoderStats()
		if code == nvml.SUCCESS && n > 0 { // a rate of 0 beside living sessions is not known, not none
			g.unless0("fps", float64(fps))
			g.unless0("latency", float64(latency))
		}
		return code
	}},
	{"GetEncoderSessions", symbols("GetEncoderSessions"), readSessions},
	{"GetMemoryInfo", symbols("GetMemoryInfo"), readMemory},
	clock("graphics", nvml.CLOCK_GRAPHICS),
	clock("sm", nvml.CLOCK_SM),
	clock("memory", nvml.CLOCK_MEM),
	clock("video", nvml.CLOCK_VIDEO),
	{"GetMarginTemperature", symbols("GetMarginTemperature"), func(_ *driver, g *gpu) nvml.Return {
		m, code := g.dev.GetMarginTemperature()
		if code == nvml.SUCCESS {
			g.readings["temp_margin"] = float64(m.MarginTemperature)
		}
		return code
	}},
	ecc("corrected", nvml.MEMORY_ERROR_TYPE_CORRECTED),
	ecc("uncorrected", nvml.MEMORY_ERROR_TYPE_UNCORRECTED),
	{"GetFieldValues", symbols("GetFieldValues"), readFields},
}

func symbols(name string) []string { return []string{"nvmlDevice" + name} }

func one[T uint32 | uint64](name, key string, get func(nvml.Device) (T, nvml.Return)) call {
	return call{name, symbols(name), func(_ *driver, g *gpu) nvml.Return {
		v, code := get(g.dev)
		if code == nvml.SUCCESS {
			g.readings[key] = float64(v)
		}
		return code
	}}
}

// engine is a utilization in percent of the driver's last sampling period.
func engine(name, key string, get func(nvml.Device) (uint32, uint32, nvml.Return)) call {
	return one(name, key, func(d nvml.Device) (uint32, nvml.Return) {
		v, _, code := get(d)
		return v, code
	})
}

// clock is a clock's rate now, and at most, which is asked once per device.
func clock(name string, of nvml.ClockType) call {
	key, keyMost := "clock_"+name, "clock_max_"+name
	return call{"GetClockInfo", []string{"nvmlDeviceGetClockInfo", "nvmlDeviceGetMaxClockInfo"}, func(_ *driver, g *gpu) nvml.Return {
		now, code := g.dev.GetClockInfo(of)
		if code != nvml.SUCCESS {
			return code
		}
		g.readings[key] = float64(now)
		if g.clocks[of] == 0 {
			if g.clocks[of], code = g.dev.GetMaxClockInfo(of); code != nvml.SUCCESS {
				return code
			}
		}
		g.readings[keyMost] = float64(g.clocks[of])
		return code
	}}
}

func ecc(name string, kind nvml.MemoryErrorType) call {
	return one("GetTotalEccErrors", "ecc_"+name, func(d nvml.Device) (uint64, nvml.Return) {
		return d.GetTotalEccErrors(kind, nvml.AGGREGATE_ECC)
	})
}

// readMemory asks the newer call first: the older one counts what the driver reserves as used.
func readMemory(d *driver, g *gpu) nvml.Return {
	if d.symbol("nvmlDeviceGetMemoryInfo_v2") {
		if m, code := g.dev.GetMemoryInfo_v2(); code == nvml.SUCCESS {
			g.readings["memory_used"], g.readings["memory_total"] = float64(m.Used), float64(m.Total)
			return code
		}
	}
	m, code := g.dev.GetMemoryInfo()
	if code == nvml.SUCCESS {
		g.readings["memory_used"], g.readings["memory_total"] = float64(m.Used), float64(m.Total)
	}
	return code
}

func (g *gpu) unless0(key string, v float64) {
	if v > 0 {
		g.readings[key] = v
	}
}
