package nvmlchild

import (
	"bytes"
	"math"
	"reflect"
	"testing"
)

var full = &Report{
	Driver: "550.54.14", Library: "/usr/lib/libnvidia-ml.so.1", Replaced: true, RSS: 7 << 20,
	GPUs: []GPU{
		{Index: 1, PCI: "0000:3b:00.0", UUID: "GPU-1", Name: "Tesla T4", Readings: map[string]float64{"enc": 61, "energy": 1e12, "temp_margin": -3}},
		{Index: 2, PCI: "10000:e1:00.0", Lost: 15, Readings: map[string]float64{}},
	},
	XIDs:   []XID{{"0000:3b:00.0", 79, 2}},
	Errors: []Error{{"GetPowerUsage", 999, 1}},
}

func TestFrameSurvivesItsWay(t *testing.T) {
	for _, r := range []*Report{full, {Code: CodeNotBuilt, Text: "no"}, {}} {
		b := AppendFrame(nil, r)
		got, rest, _, err := CutFrame(append(b, 1, 2, 3))
		if err != nil || !reflect.DeepEqual(got, r) || !bytes.Equal(rest, []byte{1, 2, 3}) {
			t.Errorf("got %+v, rest %v, %v; want %+v", got, rest, err, r)
		}
		for n := range len(b) { // a part of it is no report, and says how much lacks at least
			got, _, missing, err := CutFrame(b[:n])
			if got != nil || err != nil || missing < 1 || n+missing > len(b) {
				t.Errorf("%d of %d bytes: %v, %v, %d missing", n, len(b), got, err, missing)
			}
		}
	}
}

func TestDamagedFrame(t *testing.T) {
	long := &Report{GPUs: make([]GPU, maxGPUs+1)}
	for i := range long.GPUs {
		long.GPUs[i].PCI = "0000:3b:00.0"
	}
	for name, r := range map[string]*Report{
		"no number":    {GPUs: []GPU{{PCI: "0000:3b:00.0", Readings: map[string]float64{"enc": math.NaN()}}}},
		"infinite":     {GPUs: []GPU{{PCI: "0000:3b:00.0", Readings: map[string]float64{"enc": math.Inf(1)}}}},
		"no address":   {GPUs: []GPU{{PCI: "0000:3B:00.0"}}},
		"empty":        {GPUs: []GPU{{}}},
		"XID of none":  {XIDs: []XID{{PCI: "../../etc"}}},
		"too many":     long,
		"endless text": {Text: string(make([]byte, maxText+1))},
	} {
		if got, _, _, err := CutFrame(AppendFrame(nil, r)); err == nil {
			t.Errorf("%s: taken as %+v", name, got)
		}
	}
	b := AppendFrame(nil, full)
	for i := 4; i < len(b); i++ { // cut inside, with the length put right
		c := append([]byte{0, 0, 0, byte(i - 4)}, b[4:i]...)
		if got, _, _, err := CutFrame(c); err == nil {
			t.Errorf("%d of %d bytes: taken as %+v", i, len(b), got)
		}
	}
}

func FuzzCutFrame(f *testing.F) {
	f.Add(AppendFrame(nil, full))
	f.Add([]byte{0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, _, missing, err := CutFrame(b)
		if r == nil && err == nil && missing < 1 {
			t.Error("neither a report nor a reason")
		}
		if r == nil {
			return
		}
		again, _, _, err := CutFrame(AppendFrame(nil, r))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}
