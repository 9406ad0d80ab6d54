package nvmlchild

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A frame is 4 bytes of length, big-endian, and a Report field by field: numbers as varints, readings as IEEE 754 bits, strings and
// lists after their length. Both ends are the same program, so no version is needed. It is not JSON because encoding/json alone would
// make the child larger by an eighth.

const frameLimit = 1 << 20

var errFrame = errors.New("malformed answer")

// AppendFrame appends r as the child sends it.
func AppendFrame(b []byte, r *Report) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.AppendVarint(b, int64(r.Code))
	b = appendString(b, r.Text)
	b = appendString(b, r.Driver)
	b = appendString(b, r.Library)
	b = appendUint(b, 0)
	if r.Replaced {
		b[len(b)-1] = 1
	}
	b = appendUint(b, r.RSS)
	b = appendUint(b, uint64(len(r.GPUs)))
	for _, g := range r.GPUs {
		b = appendUint(b, uint64(g.Index))
		b = appendString(b, g.PCI)
		b = appendString(b, g.UUID)
		b = appendString(b, g.Name)
		b = appendUint(b, uint64(g.Lost))
		b = appendUint(b, uint64(len(g.Readings)))
		for key, v := range g.Readings {
			b = appendString(b, key)
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
		}
	}
	b = appendUint(b, uint64(len(r.XIDs)))
	for _, x := range r.XIDs {
		b = appendString(b, x.PCI)
		b = appendUint(b, x.XID)
		b = appendUint(b, x.N)
	}
	b = appendUint(b, uint64(len(r.Errors)))
	for _, e := range r.Errors {
		b = appendString(b, e.Call)
		b = appendUint(b, uint64(e.Code))
		b = appendUint(b, e.N)
	}
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

func appendUint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

func appendString(b []byte, s string) []byte {
	return append(appendUint(b, uint64(len(s))), s...)
}

// CutFrame takes the first report off b. r is nil while b does not hold a whole one; then missing bytes have yet to come at least.
func CutFrame(b []byte) (r *Report, rest []byte, missing int, err error) {
	if len(b) < 4 {
		return nil, b, 4 - len(b), nil
	}
	size := binary.BigEndian.Uint32(b)
	if size > frameLimit {
		return nil, b, 0, fmt.Errorf("%w of %d bytes", errFrame, size)
	}
	n := int(size)
	if len(b) < 4+n {
		return nil, b, 4 + n - len(b), nil
	}
	d := decoder{b: b[4 : 4+n]}
	r = d.report()
	if d.bad || len(d.b) > 0 {
		return nil, b, 0, errFrame
	}
	return r, b[4+n:], 0, nil
}

// decoder takes values off b. After the first that is not as it should be, bad is set and all others are zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) report() *Report {
	r := &Report{Code: int(d.int()), Text: d.string(), Driver: d.string(), Library: d.string(), Replaced: d.uint() != 0, RSS: d.uint()}
	for range d.len(maxGPUs) {
		g := GPU{Index: int(d.uint()), PCI: d.pci(), UUID: d.string(), Name: d.string(), Lost: int(d.uint())}
		n := d.len(maxList)
		g.Readings = make(map[string]float64, n)
		for range n {
			key, v := d.string(), d.float()
			g.Readings[key] = v
		}
		r.GPUs = append(r.GPUs, g)
	}
	for range d.len(maxGPUs) {
		r.XIDs = append(r.XIDs, XID{d.pci(), d.uint(), d.uint()})
	}
	for range d.len(maxList) {
		r.Errors = append(r.Errors, Error{d.string(), int(d.uint()), d.uint()})
	}
	return r
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// len is the length of a list of at most limit things. There are not more of them than bytes.
func (d *decoder) len(limit int) int {
	n := d.uint()
	if n > uint64(limit) || n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.len(maxText)
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) pci() string {
	s := d.string()
	if !isPCI(s) {
		d.fail()
	}
	return s
}

func (d *decoder) float() float64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := math.Float64frombits(binary.BigEndian.Uint64(d.b))
	d.b = d.b[8:]
	if math.IsNaN(v) || math.IsInf(v, 0) {
		d.fail()
	}
	return v
}
