package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/huff0"
	"github.com/klauspost/compress/zstd"
)

// packer compresses short sections. One serves the whole buffer: its tables weigh more than all it works on.
type packer struct {
	once    sync.Once
	enc     *zstd.Encoder
	huffman huff0.Scratch
}

// unpacker is the other direction; each reader has its own.
type unpacker struct {
	dec     *zstd.Decoder
	huffman huff0.Scratch
}

// zstdWindow is enough for the sections of a block, and keeps the encoder's tables small.
const zstdWindow = 128 << 10

// append appends a section to dst: its length, its compressed length, its bytes.
func (p *packer) append(dst, section []byte) []byte {
	dst, at := p.begin(dst)
	return p.end(p.enc.EncodeAll(section, dst), at, len(section))
}

// appendBook appends the section that is what a book has gained since a mark, piece by piece: the text of many series is megabytes.
func (p *packer) appendBook(dst []byte, k *book, from mark) []byte {
	dst, at := p.begin(dst)
	size := 0
	for piece := range k.since(from) {
		dst = p.enc.EncodeAll(piece, dst)
		size += len(piece)
	}
	return p.end(dst, at, size)
}

// begin leaves room for the lengths.
func (p *packer) begin(dst []byte) (room []byte, at int) {
	p.once.Do(func() {
		var err error
		p.enc, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false),
			zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow), zstd.WithSingleSegment(true))
		if err != nil {
			panic(err) // only for options that contradict each other
		}
	})
	return append(dst, make([]byte, 2*binary.MaxVarintLen32)...), len(dst)
}

// end puts the lengths of a section that begins at a place and had size bytes.
func (p *packer) end(dst []byte, at, size int) []byte {
	body := at + 2*binary.MaxVarintLen32
	n := binary.PutUvarint(dst[at:], uint64(size))
	n += binary.PutUvarint(dst[at+n:], uint64(len(dst)-body))
	return append(dst[:at+n], dst[body:]...)
}

var errShort = errors.New("cut short")

// cut takes a section off b and unpacks it into dst's memory. A section of more than limit bytes is refused before memory is
// asked for.
func (u *unpacker) cut(b, dst []byte, limit int) (section, rest []byte, err error) {
	size, b, err := cutUvarint(b)
	if err != nil {
		return nil, nil, err
	}
	packed, b, err := cutUvarint(b)
	if err != nil {
		return nil, nil, err
	}
	if size > uint64(limit) {
		return nil, nil, fmt.Errorf("section of %d bytes, more than %d", size, limit)
	}
	if packed > uint64(len(b)) {
		return nil, nil, errShort
	}
	if u.dec == nil {
		u.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic(err) // only for options that contradict each other
		}
	}
	dst = grow(dst, int(size))
	out, err := u.dec.DecodeAll(b[:packed], dst[:0:size])
	if err != nil {
		return nil, nil, fmt.Errorf("unpack section: %w", err)
	}
	if uint64(len(out)) != size {
		return nil, nil, errShort
	}
	return dst, b[packed:], nil
}

func cutUvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errShort
	}
	return v, b[n:], nil
}

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// How symbols are stored.
const (
	symbolsPlain = iota
	symbolsRepeat
	symbolsHuffman
)

// appendSymbols appends a section of bytes that have no repetitions, only frequencies: zstd would see patterns in the noise.
func (p *packer) appendSymbols(dst, section []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(section)))
	if len(section) == 0 {
		return dst
	}
	p.huffman.Reuse = huff0.ReusePolicyNone
	packed, _, err := huff0.Compress4X(section, &p.huffman)
	switch {
	case err == nil:
		dst = append(dst, symbolsHuffman)
	case errors.Is(err, huff0.ErrUseRLE):
		dst, packed = append(dst, symbolsRepeat), section[:1]
	default:
		dst, packed = append(dst, symbolsPlain), section
	}
	dst = binary.AppendUvarint(dst, uint64(len(packed)))
	return append(dst, packed...)
}

// cutSymbols is cut for such a section.
func (u *unpacker) cutSymbols(b, dst []byte, limit int) (section, rest []byte, err error) {
	in := &reading{b: b}
	size := in.int()
	if in.err != nil || size > limit {
		return nil, nil, errShort
	}
	dst = grow(dst, size)
	if size == 0 {
		return dst, in.b, nil
	}
	kind := in.byte()
	n := in.count(1)
	packed, rest := in.b[:n], in.b[n:]
	switch {
	case kind == symbolsHuffman:
		u.huffman.MaxDecodedSize = size
		_, body, err := huff0.ReadTable(packed, &u.huffman)
		if err == nil {
			_, err = u.huffman.Decoder().Decompress4X(dst[:0:size], body)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("unpack symbols: %w", err)
		}
	case kind == symbolsPlain && n == size:
		copy(dst, packed)
	case kind == symbolsRepeat && n == 1:
		for i := range dst {
			dst[i] = packed[0]
		}
	default:
		return nil, nil, errBlock
	}
	return dst, rest, nil
}
