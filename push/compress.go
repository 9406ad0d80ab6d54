package push

import (
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// packer compresses bodies. The result is valid until the next call.
type packer struct {
	out  []byte
	zstd *zstd.Encoder // made when it is first needed
}

// zstdWindow bounds the memory of the encoder; a wider one finds little more in a request.
const zstdWindow = 1 << 20

func (p *packer) pack(encoding string, body []byte) []byte {
	if encoding != "zstd" {
		p.out = s2.EncodeSnappyBetter(p.out[:cap(p.out)], body) // a snappy block like any other, but a sixth smaller
		return p.out
	}
	if p.zstd == nil {
		var err error
		p.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(false))
		if err != nil {
			panic(err) // wrong options
		}
	}
	p.out = p.zstd.EncodeAll(body, p.out[:0])
	return p.out
}
