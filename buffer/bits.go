package buffer

import "encoding/binary"

// bitWriter packs fields of up to 56 bits, low bits first.
type bitWriter struct {
	buf  []byte
	acc  uint64
	used uint // of acc
}

func (w *bitWriter) reset() { w.buf, w.acc, w.used = w.buf[:0], 0, 0 }

func (w *bitWriter) write(v uint64, bits uint) {
	w.acc |= v << w.used
	w.used += bits
	for w.used >= 8 {
		w.buf = append(w.buf, byte(w.acc))
		w.acc >>= 8
		w.used -= 8
	}
}

// bytes ends the last byte and returns all of them, valid until reset.
func (w *bitWriter) bytes() []byte {
	if w.used > 0 {
		w.buf = append(w.buf, byte(w.acc))
		w.acc, w.used = 0, 0
	}
	return w.buf
}

// bitReader reads what bitWriter has packed. Beyond the end it reads zeros, and remembers that.
type bitReader struct {
	buf   []byte
	acc   uint64
	have  uint // bits in acc
	short bool
}

func (r *bitReader) read(bits uint) uint64 {
	if r.have < bits {
		r.fill()
		if r.have < bits {
			r.short = true
			r.have = bits
		}
	}
	v := r.acc & (1<<bits - 1)
	r.acc >>= bits
	r.have -= bits
	return v
}

func (r *bitReader) fill() {
	if len(r.buf) >= 8 {
		n := (63 - r.have) / 8
		r.acc |= binary.LittleEndian.Uint64(r.buf) << r.have
		r.buf = r.buf[n:]
		r.have += 8 * n
		r.acc &= 1<<r.have - 1
		return
	}
	for len(r.buf) > 0 && r.have <= 56 {
		r.acc |= uint64(r.buf[0]) << r.have
		r.buf = r.buf[1:]
		r.have += 8
	}
}
