package buffer

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"headend-agent/internal/metric"
)

// codec writes and reads one chain after the other.
type codec struct {
	k *book
	w blockWriter
	r blockReader
}

func newCodec() *codec { return &codec{k: newBook(1), w: blockWriter{pack: &packer{}}} }

func (c *codec) round(r metric.Round) round {
	return round{timeMs: r.TimeMs, startMs: r.StartMs, epoch: r.Epoch, unset: r.Unset, list: c.k.add(r.Series), values: slices.Clone(r.Values)}
}

func countSamples(rounds []round) (n int) {
	for i := range rounds {
		n += len(rounds[i].values)
	}
	return n
}

// same tells whether rounds are equal to the bit.
func same(a, b []round) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d rounds, want %d", len(a), len(b))
	}
	for i := range a {
		x, y := a[i], b[i]
		if x.timeMs != y.timeMs || x.startMs != y.startMs || x.epoch != y.epoch || x.unset != y.unset || x.list != y.list || len(x.values) != len(y.values) {
			return fmt.Errorf("round %d: %+v, want %+v", i, x, y)
		}
		for p := range x.values {
			if got, want := math.Float64bits(x.values[p]), math.Float64bits(y.values[p]); got != want {
				return fmt.Errorf("round %d, sample %d: %x (%v), want %x (%v)", i, p, got, x.values[p], want, y.values[p])
			}
		}
	}
	return nil
}

func (c *codec) turn(t *testing.T, rounds []round, key bool) []byte {
	t.Helper()
	b := c.w.encode(nil, c.k, rounds, key)
	got, err := c.r.decode(b, c.k, key, 7, countSamples(rounds))
	if err != nil {
		t.Fatal(err)
	}
	if err := same(got, rounds); err != nil {
		t.Fatal(err)
	}
	return b
}

var oddities = []float64{
	0, math.Copysign(0, -1), 1, -1, 0.1, 0.3, 1.005, 1e15, 1e16, -1e18, 1 << 53, 1<<53 + 2, 1 << 62, 1 << 63, math.MaxFloat64, math.SmallestNonzeroFloat64,
	math.Inf(1), math.Inf(-1), math.NaN(), math.Float64frombits(0x7ff8dead0000beef), math.Float64frombits(0xfff0000000000001), metric.Stale(),
	math.Pi, 1e-9, 123.456789, 1e300, -7e-300, 4503599627370497.5,
}

func TestBlocksKeepEveryBit(t *testing.T) {
	table := metric.NewTable()
	refs := make([]metric.Ref, 300)
	for i := range refs {
		refs[i] = table.Intern(metric.LabelsOf(fmt.Sprint("m", i)), nil)
	}
	r := rand.New(rand.NewPCG(3, 4))
	value := []func() float64{
		func() float64 { return oddities[r.IntN(len(oddities))] },
		func() float64 { return math.Float64frombits(r.Uint64()) },
		func() float64 { return float64(r.IntN(10)) },
		func() float64 { return float64(r.IntN(1_000_000)) / 100 },
		func() float64 { return r.Float64() },
		func() float64 { return 5 },
		func() float64 {
			if r.IntN(9) == 0 {
				return metric.Stale()
			}
			return float64(1_000_000 + r.IntN(5))
		},
		func() float64 {
			if r.IntN(20) == 0 {
				return r.Float64()
			}
			return float64(r.IntN(100))
		},
	}
	for trial := range 50 {
		c := newCodec()
		for block := range 20 {
			var rounds []round
			for range 1 + r.IntN(20) {
				from := r.IntN(len(refs))
				x := metric.Round{TimeMs: r.Int64N(1 << 50), Series: refs[from : from+r.IntN(len(refs)-from)], Unset: r.IntN(4) == 0}
				if r.IntN(3) == 0 {
					x.Epoch, x.StartMs, x.TimeMs = metric.Epoch(r.Uint64()), int64(r.Uint64()), int64(r.Uint64())
				}
				for i := range x.Series {
					x.Values = append(x.Values, value[(from+i+trial)%len(value)]())
				}
				rounds = append(rounds, c.round(x))
			}
			c.turn(t, rounds, block%5 == 0)
		}
	}
}

func TestBlockOfOddColumns(t *testing.T) {
	table := metric.NewTable()
	ref := []metric.Ref{table.Intern(metric.LabelsOf("m"), nil)}
	for _, first := range oddities {
		for _, second := range oddities {
			c := newCodec()
			for block := range 3 {
				var rounds []round
				for range 3 {
					rounds = append(rounds, c.round(metric.Round{Series: ref, Values: []float64{first}}), c.round(metric.Round{Series: ref, Values: []float64{second}}))
				}
				c.turn(t, rounds, block == 0)
			}
		}
	}
}

func TestBookIsReadInPieces(t *testing.T) {
	table := metric.NewTable()
	w := newWorkload(table, 10)
	c := newCodec()
	var read book
	var text []string
	for tick := range 3 {
		from := c.k.mark()
		w.next(func(r metric.Round) { c.k.add(r.Series) })
		c.k.add([]metric.Ref{table.Intern(metric.LabelsOf("late", "n", fmt.Sprint(tick)), &metric.Desc{Name: "late", Type: metric.Gauge, Help: "h", Unit: metric.Volts})})
		piece := c.k.appendSince(nil, from)
		for range 2 { // a piece that is known already changes nothing
			if err := read.extend(piece, metric.NewTable()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, r := range read.series {
		if r.Labels.Packed() != c.k.series[i].Labels.Packed() || r.Desc().Name != c.k.series[i].Desc().Name || r.Desc().Type != c.k.series[i].Desc().Type {
			t.Fatalf("series %d is %v, want %v", i, r.Labels, c.k.series[i].Labels)
		}
		text = append(text, r.Labels.String())
	}
	if len(read.lists) != 24 || !slices.EqualFunc(read.lists, c.k.lists, slices.Equal) || !slices.Contains(text, `late{n="2"}`) {
		t.Errorf("lists differ, or a series is missing: %d lists", len(read.lists))
	}
	if d := read.series[len(read.series)-1].Desc(); d.Help != "h" || d.Unit != metric.Volts {
		t.Errorf("family %+v", d)
	}
}

func TestBookRecognisesLists(t *testing.T) {
	table := metric.NewTable()
	a, b := table.Intern(metric.LabelsOf("a"), nil), table.Intern(metric.LabelsOf("b"), nil)
	k := newBook(1)
	refs := []metric.Ref{b, a}
	list := k.add(refs)
	if l, ok := k.find(refs); !ok || l != list {
		t.Error("the same slice is not recognised")
	}
	if _, ok := k.find(refs[:1]); ok {
		t.Error("a part of the slice is taken for it")
	}
	if k.add([]metric.Ref{b, a}) != list || k.add([]metric.Ref{a, b}) == list {
		t.Error("lists are told apart by something else than their series")
	}
}

// damage yields bytes with one flipped bit in each byte, and cut at each.
func damage(b []byte, yield func([]byte)) {
	for i := range b {
		c := slices.Clone(b)
		c[i] ^= 1 << (i % 8)
		yield(c)
		yield(slices.Clone(b[:i]))
	}
}

func TestDamagedBlocksAreHarmless(t *testing.T) {
	w := newWorkload(metric.NewTable(), 5)
	c := newCodec()
	var rounds []round
	for range 4 {
		w.next(func(r metric.Round) { rounds = append(rounds, c.round(r)) })
	}
	n := countSamples(rounds)
	damage(c.turn(t, rounds, true), func(b []byte) {
		if got, err := c.r.decode(b, c.k, true, 0, n); err == nil && countSamples(got) != n {
			t.Error("a damaged block has another number of samples")
		}
	})
	damage(c.k.appendSince(nil, mark{}), func(b []byte) {
		var k book
		k.extend(b, metric.NewTable())
	})
}

func FuzzBlock(f *testing.F) {
	w := newWorkload(metric.NewTable(), 5)
	c := newCodec()
	var rounds []round
	w.next(func(r metric.Round) { rounds = append(rounds, c.round(r)) })
	n := countSamples(rounds)
	f.Add(c.w.encode(nil, c.k, rounds, true), n)
	f.Fuzz(func(t *testing.T, b []byte, samples int) {
		var r blockReader
		if got, err := r.decode(b, c.k, true, 0, samples); err == nil && countSamples(got) != samples {
			t.Error("another number of samples than asked for")
		}
	})
}

func FuzzBook(f *testing.F) {
	w := newWorkload(metric.NewTable(), 5)
	c := newCodec()
	w.next(func(r metric.Round) { c.k.add(r.Series) })
	f.Add(c.k.appendSince(nil, mark{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var k book
		if k.extend(b, metric.NewTable()) != nil {
			return
		}
		var again book
		if err := again.extend(k.appendSince(nil, mark{}), metric.NewTable()); err != nil || !slices.EqualFunc(again.lists, k.lists, slices.Equal) {
			t.Errorf("what was read reads otherwise when written again: %v", err)
		}
	})
}

// FuzzColumn checks every float against the codec.
func FuzzColumn(f *testing.F) {
	var all []byte
	for _, v := range oddities {
		all = binary.LittleEndian.AppendUint64(all, math.Float64bits(v))
	}
	f.Add(all)
	ref := []metric.Ref{metric.NewTable().Intern(metric.LabelsOf("m"), nil)}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := newCodec()
		var rounds []round
		for ; len(b) >= 8 && len(rounds) < 1000; b = b[8:] {
			rounds = append(rounds, c.round(metric.Round{Series: ref, Values: []float64{math.Float64frombits(binary.LittleEndian.Uint64(b))}}))
		}
		if len(rounds) > 0 {
			c.turn(t, rounds[:(len(rounds)+1)/2], true)
			c.turn(t, rounds[(len(rounds)+1)/2:], false)
		}
	})
}

// appendSince appends what a book has gained since a mark.
func (k *book) appendSince(dst []byte, from mark) []byte {
	for piece := range k.since(from) {
		dst = append(dst, piece...)
	}
	return dst
}
