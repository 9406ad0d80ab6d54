package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"

	"headend-agent/internal/metric"
)

// round is a metric.Round in the numbers of a book.
type round struct {
	seq     uint64
	timeMs  int64
	startMs int64
	epoch   metric.Epoch
	unset   bool
	list    uint32
	values  []float64
}

// Bounds of a block. Its dictionary and the block itself fit a slot, whatever they hold.
const (
	maxBlockSamples = 56 << 10
	maxBlockRounds  = 4096
)

// blockWriter turns rounds into blocks. It carries the columns of a chain: a key block and those that follow it.
type blockWriter struct {
	pack    *packer
	chain   []column // by number of the series
	columns columnWriter
	ends    []uint32 // by number, where the column's values end
	values  []float64
	head    []byte
}

// encode appends a block of rounds, which follow each other by number and have lists of k. A key block needs none before it.
func (w *blockWriter) encode(dst []byte, k *book, rounds []round, key bool) []byte {
	if key {
		clear(w.chain)
	}
	w.chain = extendTo(w.chain, len(k.series))
	w.transpose(k, rounds)
	w.columns.reset()
	from := uint32(0)
	for id, to := range w.ends {
		if to > from {
			w.columns.add(&w.chain[id], w.values[from:to])
			from = to
		}
	}
	w.head = appendRounds(w.head[:0], rounds)
	dst = w.pack.append(dst, w.head)
	dst = w.pack.append(dst, w.columns.controls)
	dst = w.pack.append(dst, w.columns.quiet)
	dst = w.pack.append(dst, w.columns.extras)
	dst = w.pack.appendSymbols(dst, w.columns.symbols)
	return append(dst, w.columns.low.bytes()...)
}

// transpose lays the values of each series side by side.
func (w *blockWriter) transpose(k *book, rounds []round) {
	w.ends = grow(w.ends, len(k.series))
	w.values = grow(w.values, columnEnds(w.ends, k, rounds))
	for i := len(w.ends) - 1; i > 0; i-- {
		w.ends[i] = w.ends[i-1] // now where it begins
	}
	if len(w.ends) > 0 {
		w.ends[0] = 0
	}
	for i := range rounds {
		for p, id := range k.lists[rounds[i].list] {
			w.values[w.ends[id]] = rounds[i].values[p]
			w.ends[id]++
		}
	}
}

// columnEnds fills ends and returns the number of samples.
func columnEnds(ends []uint32, k *book, rounds []round) int {
	clear(ends)
	for i := range rounds {
		for _, id := range k.lists[rounds[i].list] {
			ends[id]++
		}
	}
	sum := uint32(0)
	for i, n := range ends {
		sum += n
		ends[i] = sum
	}
	return int(sum)
}

// maxChain is the number of blocks from one key block to the next: the reach of damage, eight minutes at the usual interval.
const maxChain = 16

// Flags of a round.
const (
	roundUnset = 1 << iota
	roundEpoch // another epoch than the round before: 8 bytes follow
	roundStart // another start: a varint follows
)

func appendRounds(dst []byte, rounds []round) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(rounds)))
	var last round
	for i := range rounds {
		r := &rounds[i]
		flags := byte(0)
		if r.unset {
			flags |= roundUnset
		}
		if r.epoch != last.epoch {
			flags |= roundEpoch
		}
		if r.startMs != last.startMs {
			flags |= roundStart
		}
		dst = append(dst, flags)
		dst = binary.AppendUvarint(dst, uint64(r.list))
		dst = binary.AppendUvarint(dst, zigzag(r.timeMs-last.timeMs))
		if r.epoch != last.epoch {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(r.epoch))
		}
		if r.startMs != last.startMs {
			dst = binary.AppendUvarint(dst, zigzag(r.startMs-last.startMs))
		}
		last = *r
	}
	return dst
}

// readRounds puts what appendRounds has written into memory of rounds.
func readRounds(in *reading, rounds []round) []round {
	rounds = grow(rounds, in.count(3))
	var last round
	for i := range rounds {
		flags := in.byte()
		last.unset = flags&roundUnset != 0
		last.list = uint32(in.int())
		last.timeMs += in.varint()
		if flags&roundEpoch != 0 {
			last.epoch = metric.Epoch(in.uint64())
		}
		if flags&roundStart != 0 {
			last.startMs += in.varint()
		}
		rounds[i] = last
	}
	return rounds
}

// blockReader turns blocks of one chain back into rounds, in their order.
type blockReader struct {
	unpack  unpacker
	chain   []column
	columns columnReader
	head    []byte
	parts   [4][]byte
	ends    []uint32
	values  []float64
	flat    []float64
	decoded []round
}

var errBlock = errors.New("block does not follow the format")

// decode returns the rounds of a block that holds as many samples, numbered from seq on. The rounds are valid until the next
// call. After an error only a key block can follow.
func (r *blockReader) decode(b []byte, k *book, key bool, seq uint64, samples int) ([]round, error) {
	if samples > maxBlockSamples {
		return nil, errBlock
	}
	if key {
		clear(r.chain)
	}
	r.chain = extendTo(r.chain, len(k.series))
	var err error
	if r.head, b, err = r.unpack.cut(b, r.head, 32*maxBlockRounds); err != nil {
		return nil, fmt.Errorf("rounds: %w", err)
	}
	rounds, err := r.rounds(k, seq, samples)
	if err != nil {
		return nil, err
	}
	for i := range r.parts[:3] {
		if r.parts[i], b, err = r.unpack.cut(b, r.parts[i], 10*maxBlockSamples); err != nil {
			return nil, fmt.Errorf("columns: %w", err)
		}
	}
	if r.parts[3], b, err = r.unpack.cutSymbols(b, r.parts[3], maxBlockSamples); err != nil {
		return nil, fmt.Errorf("columns: %w", err)
	}
	r.columns = columnReader{controls: r.parts[0], quiet: r.parts[1], extras: r.parts[2], symbols: r.parts[3], low: bitReader{buf: b}}
	r.values = grow(r.values, samples)
	from := uint32(0)
	for id, to := range r.ends {
		if to > from {
			if err := r.columns.next(&r.chain[id], r.values[from:to]); err != nil {
				return nil, err
			}
			from = to
		}
	}
	if !r.columns.done() {
		return nil, errBlock
	}
	r.transpose(k, rounds, samples)
	return rounds, nil
}

// rounds reads the heads of the rounds and finds where their columns end.
func (r *blockReader) rounds(k *book, seq uint64, samples int) ([]round, error) {
	in := &reading{b: r.head}
	r.decoded = readRounds(in, r.decoded)
	rounds := r.decoded
	if in.err != nil || len(in.b) > 0 || len(rounds) > maxBlockRounds {
		return nil, errBlock
	}
	n := 0
	for i := range rounds {
		if int(rounds[i].list) >= len(k.lists) {
			return nil, errBlock
		}
		rounds[i].seq = seq + uint64(n)
		n += len(k.lists[rounds[i].list])
	}
	if n != samples {
		return nil, errBlock
	}
	r.ends = grow(r.ends, len(k.series))
	columnEnds(r.ends, k, rounds)
	return rounds, nil
}

// transpose gives every round its values.
func (r *blockReader) transpose(k *book, rounds []round, samples int) {
	r.flat = grow(r.flat, samples)
	for i := len(r.ends) - 1; i > 0; i-- {
		r.ends[i] = r.ends[i-1]
	}
	if len(r.ends) > 0 {
		r.ends[0] = 0
	}
	n := 0
	for i := range rounds {
		ids := k.lists[rounds[i].list]
		values := r.flat[n : n+len(ids) : n+len(ids)]
		for p, id := range ids {
			values[p] = r.values[r.ends[id]]
			r.ends[id]++
		}
		rounds[i].values = values
		n += len(ids)
	}
}

// extendTo returns s with at least n elements, the new ones zero.
func extendTo[T any](s []T, n int) []T {
	if n <= len(s) {
		return s
	}
	if n <= cap(s) {
		clear(s[len(s):n])
		return s[:n]
	}
	t := make([]T, n, n+n/8)
	copy(t, s)
	return t
}
