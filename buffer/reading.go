package buffer

import "encoding/binary"

// reading takes fields off bytes that may be damaged. After an error it yields zeros.
type reading struct {
	b   []byte
	err error
}

func (r *reading) fail() {
	if r.err == nil {
		r.err = errShort
	}
	r.b = nil
}

func (r *reading) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reading) varint() int64 { return unzigzag(r.uvarint()) }

// int is a uvarint that fits an int32, as all numbers of things do.
func (r *reading) int() int {
	v := r.uvarint()
	if v > 1<<31-1 {
		r.fail()
		return 0
	}
	return int(v)
}

// count is a number of things that take at least size bytes each: no more than can follow.
func (r *reading) count(size int) int {
	n := r.int()
	if n > len(r.b)/size {
		r.fail()
		return 0
	}
	return n
}

func (r *reading) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reading) uint64() uint64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reading) text() string {
	n := r.count(1)
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
