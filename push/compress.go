package push

import (
	"encoding/binary"
	"slices"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// packer compresses bodies. The result is valid until the next call.
type packer struct {
	out  []byte
	zstd *zstd.Encoder // made when it is first needed
}

// snappyPiece is how much is compressed at once: the encoder wants room for the worst case.
const snappyPiece = 512 << 10

// snappy makes one snappy block of a body, by the encoder that makes it a sixth smaller than usual.
func (p *packer) snappy(body []byte) {
	p.out = binary.AppendUvarint(p.out[:0], uint64(len(body)))
	for piece := range slices.Chunk(body, snappyPiece) {
		n := len(p.out)
		p.out = slices.Grow(p.out, s2.MaxEncodedLen(len(piece)))
		packed := s2.EncodeSnappyBetter(p.out[n:cap(p.out)], piece)
		_, size := binary.Uvarint(packed) // of the piece: the block has its own
		p.out = append(p.out, packed[size:]...)
	}
}

// zstdWindow bounds the memory of the encoder; a wider one finds little more in a request.
const zstdWindow = 1 << 20

func (p *packer) pack(encoding string, body []byte) []byte {
	if encoding != "zstd" {
		p.snappy(body)
		return p.out
	}
	if p.zstd == nil {
		var err error
		p.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true))
		if err != nil {
			panic(err) // wrong options
		}
	}
	p.out = p.zstd.EncodeAll(body, p.out[:0])
	return p.out
}
