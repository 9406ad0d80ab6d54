package gpu

import "headend-agent/internal/metric"

var (
	byCard = []string{"gpu", "pci"}

	flussonicEnc  = gauge("flussonic_gpu_enc", "Load of the video encoder; where one engine decodes and encodes (Intel), of that.", metric.Percent)
	flussonicDec  = gauge("flussonic_gpu_dec", "Load of the video decoder.", metric.Percent)
	flussonicTemp = gauge("flussonic_gpu_temp", "Temperature of the GPU; of one inside a processor, of that.", metric.Celsius)

	info          = gauge("headend_gpu_info", "1, with what the GPU is.", metric.None, "uuid", "name", "vendor", "driver")
	up            = gauge("headend_gpu_up", "1 if the GPU answers its driver; 0 if it is on the bus, or was, and does not.", metric.None)
	engineRatio   = gauge("headend_gpu_engine_utilization_ratio", "Busy part of an engine since the last reading; where the driver keeps no history, in its last sampling period.", metric.Ratio, "engine")
	engineMax     = gauge("headend_gpu_engine_utilization_max_ratio", "Busiest sampling period of an engine since the last reading, from the driver's history.", metric.Ratio, "engine")
	sessions      = gauge("headend_gpu_encoder_sessions", "Encoder sessions, by codec.", metric.None, "codec")
	encoderFPS    = gauge("headend_gpu_encoder_fps", "Frames per second of the encoder sessions, their average.", metric.None)
	encoderDelay  = gauge("headend_gpu_encoder_latency_seconds", "Time to encode a frame, average of the sessions.", metric.Seconds)
	temperature   = gauge("headend_gpu_temperature_celsius", "Temperature, by sensor.", metric.Celsius, "sensor")
	tempMargin    = gauge("headend_gpu_temperature_margin_celsius", "How much hotter the GPU may get before it slows down.", metric.Celsius)
	memoryUsed    = gauge("headend_gpu_memory_used_bytes", "Used memory of the GPU.", metric.Bytes)
	memoryTotal   = gauge("headend_gpu_memory_total_bytes", "Memory of the GPU.", metric.Bytes)
	power         = gauge("headend_gpu_power_watts", "Power draw.", metric.Watts)
	powerLimit    = gauge("headend_gpu_power_limit_watts", "Power limit in force.", metric.Watts)
	energy        = counter("headend_gpu_energy_joules_total", "Energy used since the driver was loaded.", metric.Joules)
	clockNow      = gauge("headend_gpu_clock_hertz", "Clock, by domain. It falls when idle: 100 % at a low clock is not full capacity.", metric.Hertz, "domain")
	clockMax      = gauge("headend_gpu_clock_max_hertz", "Highest clock, by domain.", metric.Hertz, "domain")
	fan           = gauge("headend_gpu_fan_ratio", "Speed of the fan, of its full speed.", metric.Ratio)
	pcieBytes     = counter("headend_gpu_pcie_bytes_total", "Bytes over PCIe, seen from the GPU.", metric.Bytes, "direction")
	throttled     = counter("headend_gpu_throttled_seconds_total", "Time with the clocks held down, by reason.", metric.Seconds, "reason")
	eccErrors     = counter("headend_gpu_ecc_errors_total", "Memory errors over the GPU's life.", metric.None, "type")
	xidErrors     = counter("headend_gpu_xid_errors_total", "Critical errors that the driver has reported, by number.", metric.None, "xid")
	xidTime       = gauge("headend_gpu_xid_last_timestamp_seconds", "When an error was reported last, Unix time.", metric.Seconds, "xid")
	probeState    = plain("headend_gpu_probe_state", "1, with how it stands with NVIDIA's driver: ok, starting, slow, hang, crash, protocol, stuck, absent, not_loaded, mismatch, not_built, released or error.", metric.Gauge, metric.None, "state")
	probeDuration = plain("headend_gpu_probe_duration_seconds", "How long NVIDIA's driver took for the last reading of all GPUs.", metric.Gauge, metric.Seconds)
	probeMemory   = plain("headend_gpu_probe_resident_memory_bytes", "Resident memory of the process that talks to NVIDIA's driver.", metric.Gauge, metric.Bytes)
	probeRestarts = plain("headend_gpu_probe_restarts_total", "Ends of the process that talks to NVIDIA's driver, by reason.", metric.Counter, metric.None, "reason")
	probeErrors   = plain("headend_gpu_probe_errors_total", "Failures of calls to NVIDIA's driver, by NVML's return code.", metric.Counter, metric.None, "call", "code")

	cardDescs = []*metric.Desc{
		flussonicEnc, flussonicDec, flussonicTemp, info, up, engineRatio, engineMax, sessions, encoderFPS, encoderDelay,
		temperature, tempMargin, memoryUsed, memoryTotal, power, powerLimit, energy, clockNow, clockMax, fan, pcieBytes, throttled,
		eccErrors, xidErrors, xidTime,
	}
	probeDescs = []*metric.Desc{probeState, probeDuration, probeMemory, probeRestarts, probeErrors}
)

// gauge is a family with the labels of a card, and more.
func gauge(name, help string, unit metric.Unit, more ...string) *metric.Desc {
	return plain(name, help, metric.Gauge, unit, append(byCard[:2:2], more...)...)
}

func counter(name, help string, unit metric.Unit, more ...string) *metric.Desc {
	return plain(name, help, metric.Counter, unit, append(byCard[:2:2], more...)...)
}

func plain(name, help string, t metric.Type, unit metric.Unit, labels ...string) *metric.Desc {
	return &metric.Desc{Name: name, Help: help, Type: t, Unit: unit, Labels: labels}
}
