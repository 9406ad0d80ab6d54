package buffer

import (
	"math"

	"headend-agent/internal/metric"
)

var pow10 = [rawScale]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// toInt returns v in units of 10^-scale, and whether toFloat makes the very same bits of it.
func toInt(v float64, scale uint8) (int64, bool) {
	switch scale {
	case rawScale:
		return int64(math.Float64bits(v)), true
	case 0:
		if !(math.Abs(v) < 1<<62) {
			return 0, false
		}
		i := int64(v)
		return i, math.Float64bits(float64(i)) == math.Float64bits(v)
	}
	u := v * pow10[scale]
	if !(math.Abs(u) < 1<<53) {
		return 0, false
	}
	i := int64(math.RoundToEven(u))
	return i, math.Float64bits(float64(i)/pow10[scale]) == math.Float64bits(v)
}

func toFloat(i int64, scale uint8) float64 {
	switch scale {
	case rawScale:
		return math.Float64frombits(uint64(i))
	case 0:
		return float64(i)
	}
	return float64(i) / pow10[scale]
}

// integers fills ints and odd, and returns the scale used: the least from the column's own on at which all values are integers.
// Where there is none, it is the least at which most are, and in the end rawScale. Stale markers have no say.
func (w *columnWriter) integers(from uint8, values []float64) uint8 {
	best, least := uint8(rawScale), (len(values)+1)/2
	for scale := from; scale < rawScale; scale++ {
		odd := w.fill(scale, values)
		if odd == 0 {
			return scale
		}
		if odd < least {
			best, least = scale, odd
		}
	}
	w.fill(best, values)
	return best
}

func (w *columnWriter) fill(scale uint8, values []float64) (odd int) {
	w.ints, w.odd = grow(w.ints, len(values)), grow(w.odd, len(values))
	for i, v := range values {
		x, exact := toInt(v, scale)
		if metric.IsStale(v) {
			exact = false
		} else if !exact {
			odd++
		}
		w.ints[i], w.odd[i] = x, !exact
	}
	return odd
}
