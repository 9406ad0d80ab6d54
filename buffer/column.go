package buffer

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"

	"headend-agent/internal/metric"
)

// column is what the samples of a series so far let expect of the next one. Nearly all values are short decimals: they become
// integers, the column predicts each of them, and what the prediction missed is split: low bits as they are, the rest, a small
// number, as one symbol for an entropy coder. How many bits are low follows from the misses before, so nobody has to tell
// it. Writer and reader carry columns from block to block, from one key block to the next. FORMAT.md has the definition.
type column struct {
	last   int64  // newest value, in units of 10^-scale, or its bits where scale is rawScale
	trend  int64  // mean step, times 2^fraction
	level  int64  // the line through the values, now, times 2^fraction
	mean   int64  // mean value, times 2^fraction
	spread uint64 // 8 times the mean miss
	scale  uint8
	mode   uint8
	count  uint8 // of values, up to settled
}

const (
	rawScale = 16 // beyond the decimals: the integers are the floats' bits
	fraction = 6
	settled  = 8
)

// Modes are what a column may predict.
const (
	modeLast  = iota // the last value
	modeTrend        // the last value and the mean step
	modeLevel        // the next point of the line
	modeMean         // the mean
	modes
)

// Controls, one for each column of a block.
const (
	controlSame  = 0 // the column goes on in its mode and scale
	controlConst = 1 // every value is the last one; nothing else is stored
	controlNew   = 2 // + mode*(rawScale+1) + scale
	controls     = controlNew + modes*(rawScale+1)
)

// Symbols, one for each sample. Those up to maxQuotient are the high part of a miss.
const (
	maxQuotient = 251
	symbolWide  = 253 // a miss too great to split is in the extras, as uvarint
	symbolFloat = 254 // no decimal of this scale: 8 bytes in the extras
	symbolStale = 255
	maxLow      = 56 // bits
)

// quietSpread divides columns that hardly ever miss from the others: their symbols are of another kind, nearly all 0.
const quietSpread = 16

var errColumn = errors.New("column does not follow the format")

// predict returns what the mode expects next.
func (c *column) predict(mode uint8) int64 {
	const half = 1 << (fraction - 1)
	switch mode {
	case modeTrend:
		return c.last + (c.trend+half)>>fraction
	case modeLevel:
		return (c.level + c.trend + half) >> fraction
	case modeMean:
		return (c.mean + half) >> fraction
	}
	return c.last
}

// settle takes in a value. All arithmetic wraps, alike in writer and reader.
func (c *column) settle(x int64) {
	at := x << fraction
	switch c.count {
	case 0:
		c.level, c.mean = at, at
	case 1:
		c.trend, c.level, c.mean = at-c.last<<fraction, at, (at+c.mean)>>1
	default:
		g := &gains[c.count]
		miss := at - c.level - c.trend
		c.level += c.trend + miss>>g.level
		c.trend += miss >> g.trend
		c.mean += (at - c.mean) >> g.mean
	}
	if c.count < settled {
		c.count++
	}
	c.last = x
}

// gains are shifts, by count: the more is known, the less a single value changes.
var gains = [settled + 1]struct{ level, trend, mean uint8 }{
	2: {1, 2, 2}, 3: {1, 3, 2}, 4: {1, 3, 2}, 5: {2, 4, 3}, 6: {2, 4, 3}, 7: {2, 5, 3}, 8: {2, 5, 3},
}

// low returns how many bits of the next miss are stored as they are: a quarter of the mean miss is beyond them.
func (c *column) low() uint { return uint(max(0, bits.Len64(c.spread)-5)) }

func (c *column) missed(u uint64) { c.spread += u - c.spread>>3 }

// columnWriter collects the columns of a block in four kinds of bytes and one of bits.
type columnWriter struct {
	controls, symbols, quiet, extras []byte
	low                              bitWriter

	first int64 // value of the newest column that began: its neighbour's may be near
	ints  []int64
	odd   []bool // the value at this place is no integer
}

func (w *columnWriter) reset() {
	w.controls, w.symbols, w.quiet, w.extras = w.controls[:0], w.symbols[:0], w.quiet[:0], w.extras[:0]
	w.low.reset()
	w.first = 0
}

// add appends the samples of a series, of which there is at least one.
func (w *columnWriter) add(c *column, values []float64) {
	scale := w.integers(c.scale, values)
	mode, moved := w.choose(c, scale)
	switch {
	case !moved:
		w.controls = append(w.controls, controlConst)
		return // the column stands still
	case c.count > 0 && mode == c.mode && scale == c.scale:
		w.controls = append(w.controls, controlSame)
	default:
		w.controls = append(w.controls, controlNew+mode*(rawScale+1)+scale)
		c.change(mode, scale)
	}
	for i, x := range w.ints {
		switch {
		case w.odd[i]:
			w.addOdd(c, values[i])
			continue
		case c.count == 0:
			w.symbol(c, symbolWide)
			w.extras = binary.AppendUvarint(w.extras, zigzag(x-w.first))
			w.first = x
		default:
			u, k := zigzag(x-c.predict(mode)), c.low()
			if q := u >> k; q <= maxQuotient && k <= maxLow {
				w.symbol(c, byte(q))
				w.low.write(u&(1<<k-1), k)
			} else {
				w.symbol(c, symbolWide)
				w.extras = binary.AppendUvarint(w.extras, u)
			}
			c.missed(u)
		}
		c.settle(x)
	}
}

func (c *column) change(mode, scale uint8) {
	if scale != c.scale {
		*c = column{scale: scale}
	}
	c.mode = mode
}

func (w *columnWriter) addOdd(c *column, v float64) {
	if metric.IsStale(v) {
		w.symbol(c, symbolStale)
		return
	}
	w.symbol(c, symbolFloat)
	w.extras = binary.LittleEndian.AppendUint64(w.extras, math.Float64bits(v))
}

func (w *columnWriter) symbol(c *column, s byte) {
	if c.spread < quietSpread {
		w.quiet = append(w.quiet, s)
	} else {
		w.symbols = append(w.symbols, s)
	}
}

// choose returns the mode that misses least in a column, and whether there is anything to tell. To change it has to be worth it.
func (w *columnWriter) choose(c *column, scale uint8) (mode uint8, moved bool) {
	t := *c
	if scale != c.scale {
		t = column{scale: scale}
	}
	moved = t.count == 0
	for i, x := range w.ints {
		moved = moved || w.odd[i] || x != t.last
	}
	if !moved || scale == rawScale {
		return modeLast, moved
	}
	var cost [modes]int
	for i, x := range w.ints {
		if w.odd[i] {
			continue
		}
		for m := range cost {
			if t.count > 0 {
				cost[m] += bits.Len64(zigzag(x - t.predict(uint8(m))))
			}
		}
		t.settle(x)
	}
	const change = 6 // bits
	mode = c.mode
	cost[mode] -= change
	for m := range cost {
		if cost[m] < cost[mode] {
			mode = uint8(m)
		}
	}
	return mode, true
}

// columnReader takes apart what columnWriter has put together.
type columnReader struct {
	controls, symbols, quiet, extras []byte
	low                              bitReader
	first                            int64
}

// next fills values with the samples of the next series.
func (r *columnReader) next(c *column, values []float64) error {
	if len(r.controls) == 0 {
		return errShort
	}
	control := r.controls[0]
	r.controls = r.controls[1:]
	switch {
	case control >= controls || control < controlNew && c.count == 0:
		return errColumn
	case control == controlConst:
		v := toFloat(c.last, c.scale)
		for i := range values {
			values[i] = v
		}
		return nil
	case control >= controlNew:
		c.change((control-controlNew)/(rawScale+1), (control-controlNew)%(rawScale+1))
	}
	for i := range values {
		v, err := r.sample(c)
		if err != nil {
			return err
		}
		values[i] = v
	}
	return nil
}

func (r *columnReader) sample(c *column) (float64, error) {
	from := &r.symbols
	if c.spread < quietSpread {
		from = &r.quiet
	}
	if len(*from) == 0 {
		return 0, errShort
	}
	s := (*from)[0]
	*from = (*from)[1:]
	var u uint64
	switch {
	case s == symbolStale:
		return metric.Stale(), nil
	case s == symbolFloat:
		if len(r.extras) < 8 {
			return 0, errShort
		}
		u = binary.LittleEndian.Uint64(r.extras)
		r.extras = r.extras[8:]
		return math.Float64frombits(u), nil
	case s == symbolWide:
		var err error
		if u, r.extras, err = cutUvarint(r.extras); err != nil {
			return 0, err
		}
	case s > maxQuotient || c.count == 0 || c.low() > maxLow:
		return 0, errColumn
	default:
		k := c.low()
		u = uint64(s)<<k | r.low.read(k)
	}
	x := unzigzag(u)
	if c.count == 0 {
		x += r.first
		r.first = x
	} else {
		x += c.predict(c.mode)
		c.missed(u)
	}
	c.settle(x)
	return toFloat(x, c.scale), nil
}

// done tells whether everything was used up.
func (r *columnReader) done() bool {
	return !r.low.short && len(r.controls)+len(r.symbols)+len(r.quiet)+len(r.extras) == 0
}
