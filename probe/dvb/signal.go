package dvb

import (
	"math"

	"headend-agent/internal/metric"
	"headend-agent/probe/dvb/frontend"
)

// full is the end of a 16-bit reading's range.
const full = 65535

// addReading adds what was read. Without a lock there is no signal to speak of, and some drivers make numbers up.
func (t *tuner) addReading(out *metric.Set, r *reading, card string) {
	t.sample(out, upDesc, flag(r.err == nil))
	if r.took > 0 {
		t.sample(out, durationDesc, r.took.Seconds())
	}
	if r.status == nil {
		return
	}
	for name, set := range r.status.Flags {
		t.sample(out, statusDesc, flag(set), name)
	}
	locked := *r.status&frontend.HasLock != 0
	t.sample(out, lockedDesc, flag(locked))
	t.addFrequency(out, r)
	t.addCardStrength(out, r, card)
	if !locked {
		return
	}
	for _, l := range levels {
		t.addLevel(out, l, r)
	}
	for _, c := range counted {
		if v, ok := r.stats[c.stat].First(frontend.Counter); ok {
			t.sample(out, c.desc, float64(v.Count()))
		}
	}
	if !r.stats[strengthStat].Known() {
		raw(t, out, rawStrength, r.strength)
	}
	raw(t, out, rawSNR, r.snr)
	raw(t, out, rawBER, r.ber)
	raw(t, out, rawUncorrected, r.uncorrected)
}

func raw[N uint16 | uint32](t *tuner, out *metric.Set, d *metric.Desc, v *N) {
	if v != nil {
		t.sample(out, d, float64(*v))
	}
}

func (t *tuner) addFrequency(out *metric.Set, r *reading) {
	hertz := float64(r.frequency)
	if r.system.Satellite() {
		hertz *= 1000
	}
	if hertz > 0 {
		t.sample(out, frequency, hertz, r.system.String())
	}
}

// addLevel adds a level on every scale that the driver uses.
func (t *tuner) addLevel(out *metric.Set, l scaled, r *reading) {
	on := r.stats[l.stat].On
	if r.system.Layered() {
		on = r.stats[l.stat].First
	}
	if v, ok := on(frontend.Decibel); ok {
		if db := v.Decibels(); db >= l.low && db <= l.high {
			t.sample(out, l.decibels, db)
		} else {
			t.errors[implausible]++
		}
	}
	if v, ok := on(frontend.Relative); ok {
		if v.Count() <= full {
			t.sample(out, l.ratio, float64(v.Count())/full)
		} else {
			t.errors[implausible]++
		}
	}
}

// addCardStrength adds the media server's own number: percent of the reading of API version 3, with a lock or without.
func (t *tuner) addCardStrength(out *metric.Set, r *reading, card string) {
	var raw uint64
	if v, ok := r.stats[strengthStat].On(frontend.Relative); r.strength != nil {
		raw = uint64(*r.strength)
	} else if !ok || v.Count() > full {
		return
	} else {
		raw = v.Count()
	}
	out.Add(cardStrength, math.Round(float64(raw)*100/full), t.labels[0], t.labels[1], card)
}
