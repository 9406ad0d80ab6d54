package host

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// timexReading is an answer of adjtimex(2): its offset and jitter are in nanoseconds or microseconds, as a status bit says.
type timexReading struct {
	unix.Timex
	synced float64
	second float64 // in units of offset and jitter
}

// ppm16 divides a fixed-point number of parts per million with 16 bits of fraction.
const ppm16 = 1e6 * 65536

var (
	timexRows = []row[timexReading]{
		timexRow("sync_status", "Whether the clock is synchronised.", metric.Gauge, metric.None, func(t *timexReading) float64 { return t.synced }),
		timexRow("offset_seconds", "Offset from the reference clock that is still to be slewed.", metric.Gauge, metric.Seconds, func(t *timexReading) float64 { return float64(t.Offset) / t.second }),
		timexRow("frequency_adjustment_ratio", "Rate at which the clock is made to run.", metric.Gauge, metric.Ratio, func(t *timexReading) float64 { return 1 + float64(t.Freq)/ppm16 }),
		timexRow("maxerror_seconds", "Largest possible error.", metric.Gauge, metric.Seconds, func(t *timexReading) float64 { return float64(t.Maxerror) / 1e6 }),
		timexRow("estimated_error_seconds", "Estimated error.", metric.Gauge, metric.Seconds, func(t *timexReading) float64 { return float64(t.Esterror) / 1e6 }),
		timexRow("status", "Status bits, as in adjtimex(2).", metric.Gauge, metric.None, func(t *timexReading) float64 { return float64(t.Status) }),
		timexRow("loop_time_constant", "Time constant of the phase-locked loop.", metric.Gauge, metric.None, func(t *timexReading) float64 { return float64(t.Constant) }),
		timexRow("tick_seconds", "Time between two ticks of the clock.", metric.Gauge, metric.Seconds, func(t *timexReading) float64 { return float64(t.Tick) / 1e6 }),
		timexRow("pps_frequency_hertz", "Frequency of the pulse per second.", metric.Gauge, metric.Hertz, func(t *timexReading) float64 { return float64(t.Ppsfreq) / ppm16 }),
		timexRow("pps_jitter_seconds", "Jitter of the pulse per second.", metric.Gauge, metric.Seconds, func(t *timexReading) float64 { return float64(t.Jitter) / t.second }),
		timexRow("pps_shift_seconds", "Interval of the pulse per second.", metric.Gauge, metric.Seconds, func(t *timexReading) float64 { return float64(t.Shift) }),
		timexRow("pps_stability_hertz", "Mean change of the pulse's frequency.", metric.Gauge, metric.Hertz, func(t *timexReading) float64 { return float64(t.Stabil) / ppm16 }),
		timexRow("pps_jitter_total", "Pulses beyond the limit of jitter.", metric.Counter, metric.None, func(t *timexReading) float64 { return float64(t.Jitcnt) }),
		timexRow("pps_calibration_total", "Calibration intervals.", metric.Counter, metric.None, func(t *timexReading) float64 { return float64(t.Calcnt) }),
		timexRow("pps_error_total", "Calibration errors.", metric.Counter, metric.None, func(t *timexReading) float64 { return float64(t.Errcnt) }),
		timexRow("pps_stability_exceeded_total", "Pulses beyond the limit of stability.", metric.Counter, metric.None, func(t *timexReading) float64 { return float64(t.Stbcnt) }),
		timexRow("tai_offset_seconds", "Offset of International Atomic Time from UTC.", metric.Gauge, metric.Seconds, func(t *timexReading) float64 { return float64(t.Tai) }),
	}
	timexDescs = descs(timexRows)
)

func timexRow(name, help string, typ metric.Type, unit metric.Unit, value func(*timexReading) float64) row[timexReading] {
	return row[timexReading]{&metric.Desc{Name: "node_timex_" + name, Help: help, Type: typ, Unit: unit}, value}
}

// timex asks adjtimex(2) how the kernel disciplines its clock.
type timex struct {
	adjtimex func(*unix.Timex) (int, error)
	boot     bootTime
}

func newTimex(_ func(any) error, env probe.Env) (probe.Probe, error) {
	boot, err := newBootTime(env)
	if err != nil {
		return nil, err
	}
	return &timex{unix.Adjtimex, boot}, nil
}

func (p *timex) Collect(_ context.Context, out *metric.Set) error {
	var t timexReading
	state, err := p.adjtimex(&t.Timex)
	if errors.Is(err, os.ErrPermission) { // some containers forbid even to ask
		return nil
	}
	if err != nil {
		return fmt.Errorf("call adjtimex: %w", err)
	}
	if state != unix.TIME_ERROR {
		t.synced = 1
	}
	t.second = 1e6
	if t.Status&unix.STA_NANO != 0 {
		t.second = 1e9
	}
	for _, r := range timexRows {
		out.Add(r.desc, r.value(&t))
	}
	p.boot.mark(out)
	return nil
}
