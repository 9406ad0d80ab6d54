package buffer

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// header precedes every frame. FORMAT.md draws it.
type header struct {
	kind    uint8
	key     bool   // the block needs none before it
	size    uint32 // of the payload
	crc     uint32 // of the payload
	seq     uint64 // number of the first sample
	lap     uint64 // number of the segment: one filling of a slot
	minMs   int64
	maxMs   int64
	samples uint32
	rounds  uint16
	book    uint32
}

// Kinds of frames.
const (
	kindBook  = 1 // a piece of the segment's dictionary
	kindBlock = 2
	kindRound = 3 // one round as it is; in the tail only
)

const (
	formatVersion = 1
	frameMagic    = 0x48454652
	headerSize    = 64
	pageSize      = 4096 // frames of the ring begin at multiples of it
	flagKey       = 1
	codecColumns  = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errFrame = errors.New("no frame")

// end is the number after that of the last sample.
func (h *header) end() uint64 { return h.seq + uint64(h.samples) }

func (h *header) put(b []byte) {
	le := binary.LittleEndian
	clear(b[:headerSize])
	le.PutUint32(b, frameMagic)
	b[4], b[5] = formatVersion, h.kind
	if h.key {
		le.PutUint16(b[6:], flagKey)
	}
	le.PutUint32(b[8:], h.size)
	le.PutUint32(b[12:], h.crc)
	le.PutUint64(b[16:], h.seq)
	le.PutUint64(b[24:], h.lap)
	le.PutUint64(b[32:], uint64(h.minMs))
	le.PutUint64(b[40:], uint64(h.maxMs))
	le.PutUint32(b[48:], h.samples)
	le.PutUint16(b[52:], h.rounds)
	if h.kind == kindBlock {
		le.PutUint16(b[54:], codecColumns)
	}
	le.PutUint32(b[56:], h.book)
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
}

// parseHeader reads a header. It refuses what this version of the format has no meaning for.
func parseHeader(b []byte) (h header, err error) {
	le := binary.LittleEndian
	if len(b) < headerSize || le.Uint32(b) != frameMagic || le.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return h, errFrame
	}
	h = header{
		kind: b[5], key: le.Uint16(b[6:])&flagKey != 0, size: le.Uint32(b[8:]), crc: le.Uint32(b[12:]), seq: le.Uint64(b[16:]),
		lap: le.Uint64(b[24:]), minMs: int64(le.Uint64(b[32:])), maxMs: int64(le.Uint64(b[40:])), samples: le.Uint32(b[48:]),
		rounds: le.Uint16(b[52:]), book: le.Uint32(b[56:]),
	}
	codec := le.Uint16(b[54:])
	switch {
	case b[4] != formatVersion, h.kind < kindBook || h.kind > kindRound, h.kind == kindBlock && codec != codecColumns,
		h.seq > 1<<62, h.book >= loadedBook, h.kind == kindBook && h.samples != 0, h.kind != kindBook && (h.samples == 0 || h.samples > maxBlockSamples):
		return h, errFrame
	}
	return h, nil
}

func checksum(payload []byte) uint32 { return crc32.Checksum(payload, castagnoli) }

// pages rounds up to whole pages.
func pages(n int64) int64 { return (n + pageSize - 1) &^ (pageSize - 1) }

// frame is one at its place: in a slot, in memory or in both.
type frame struct {
	header
	off     int64
	payload []byte // nil where it is on disk only
	saved   bool   // it is on disk, synced
}

func (f *frame) room() int64 { return pages(headerSize + int64(f.size)) }
