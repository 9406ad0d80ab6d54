package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	scanBuffer = 32 << 10
	tokenLimit = 1 << 20  // bytes of a string or number that is asked for
	bodyLimit  = 64 << 20 // bytes of an answer
	emptyReads = 100      // in a row, before a reader counts as stuck
)

var (
	errHTML = errors.New("answers HTML, not JSON")
	errCut  = errors.New("answer ends in the middle")
)

// scanner pulls values out of a JSON text as it arrives: only what is asked for is decoded, the rest is passed over, and nothing is
// allocated once the buffer stands. It checks the structure on the way down to what is asked for, not inside what is skipped.
// The first error sticks; from then on every method says that there is nothing more. What a method returns as bytes
// is valid until the next call.
type scanner struct {
	r       io.Reader
	buf     []byte
	i, n    int  // buf[i:n] is not read yet
	tok     int  // where a token begins that must stay in buf; -1 if there is none
	fresh   bool // an object or array was just opened
	total   int64
	err     error
	scratch []byte // a string without its escapes
}

// reset begins a new text.
func (s *scanner) reset(r io.Reader) {
	if s.buf == nil {
		s.buf = make([]byte, scanBuffer)
	}
	*s = scanner{r: r, buf: s.buf, scratch: s.scratch, tok: -1}
}

func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
		s.i = s.n
	}
}

// fill reads more, keeping the token. It tells whether there is more.
func (s *scanner) fill() bool {
	if s.err != nil {
		return false
	}
	keep := s.i
	if s.tok >= 0 {
		keep = s.tok
		s.tok = 0
	}
	s.n = copy(s.buf, s.buf[keep:s.n])
	s.i -= keep
	if s.n == len(s.buf) {
		if s.n >= tokenLimit {
			s.fail(fmt.Errorf("a value is longer than %d bytes", tokenLimit))
			return false
		}
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for range emptyReads {
		k, err := s.r.Read(s.buf[s.n:])
		s.n += k
		if s.total += int64(k); s.total > bodyLimit {
			s.fail(fmt.Errorf("answer exceeds %d bytes", bodyLimit))
			return false
		}
		if k > 0 {
			return true
		}
		if err == io.EOF {
			s.fail(errCut)
			return false
		}
		if err != nil {
			s.fail(fmt.Errorf("read answer: %w", err))
			return false
		}
	}
	s.fail(io.ErrNoProgress)
	return false
}

// peek returns the next byte that is not white space, 0 if there is none.
func (s *scanner) peek() byte {
	for {
		for ; s.i < s.n; s.i++ {
			if c := s.buf[s.i]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
				return c
			}
		}
		if !s.fill() {
			return 0
		}
	}
}

func (s *scanner) unexpected(want string) {
	c := s.peek()
	if s.err == nil && c == '<' {
		s.fail(errHTML)
	}
	s.fail(fmt.Errorf("JSON has %q, want %s", c, want))
}

// object enters an object. Any other value is passed over.
func (s *scanner) object() bool { return s.enter('{') }

// array enters an array. Any other value is passed over.
func (s *scanner) array() bool { return s.enter('[') }

func (s *scanner) enter(open byte) bool {
	if s.peek() != open {
		s.skip()
		return false
	}
	s.i++
	s.fresh = true
	return true
}

// key returns the next key of an object, false at its end.
func (s *scanner) key() ([]byte, bool) {
	if !s.more('}') {
		return nil, false
	}
	if s.peek() != '"' {
		s.unexpected("a key")
		return nil, false
	}
	start, end, escaped := s.token()
	s.tok = start
	if s.peek() != ':' {
		s.unexpected("a colon")
		return nil, false
	}
	end += s.tok - start
	start = s.tok
	s.tok = -1
	s.i++
	return s.unescape(s.buf[start:end], escaped), s.err == nil
}

// fields enters an object and goes through its keys; the caller takes or skips the value of each. Any other value is passed over.
func (s *scanner) fields() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !s.object() {
			return
		}
		for k, ok := s.key(); ok && yield(k); k, ok = s.key() {
		}
	}
}

// item tells whether an array has another value, which is next then.
func (s *scanner) item() bool { return s.more(']') }

func (s *scanner) more(end byte) bool {
	c := s.peek()
	fresh := s.fresh
	s.fresh = false
	switch {
	case c == end:
		s.i++
		return false
	case fresh:
		return s.err == nil
	case c == ',':
		s.i++
		return s.peek() != 0
	}
	s.unexpected("a comma")
	return false
}

// token passes over a string and returns where it lies in the buffer, without the quotes.
func (s *scanner) token() (start, end int, escaped bool) {
	s.i++
	s.tok = s.i
	from := s.i
	for {
		for from < s.n && s.buf[from] != '"' && s.buf[from] != '\\' {
			from++
		}
		if from < s.n && s.buf[from] == '"' {
			start, s.tok = s.tok, -1
			s.i = from + 1
			return start, from, escaped
		}
		if from+1 < s.n {
			escaped = true
			from += 2
			continue
		}
		kept := s.tok
		s.i = s.n
		if !s.fill() {
			return 0, 0, false
		}
		from -= kept - s.tok
	}
}

// text returns a string; false, and passes over it, where the value is something else.
func (s *scanner) text() ([]byte, bool) {
	if s.peek() != '"' {
		s.skip()
		return nil, false
	}
	start, end, escaped := s.token()
	if s.err != nil {
		return nil, false
	}
	return s.unescape(s.buf[start:end], escaped), true
}

// number returns a number, or a truth value as 1 or 0; false, and passes over it, where the value is something else.
func (s *scanner) number() (float64, bool) {
	switch c := s.peek(); {
	case c == 't':
		return 1, s.literal("true")
	case c == 'f':
		return 0, s.literal("false")
	case c != '-' && (c < '0' || c > '9'):
		s.skip()
		return 0, false
	}
	s.tok = s.i
	for {
		for ; s.i < s.n; s.i++ {
			if c := s.buf[s.i]; (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
				v, ok := parseNumber(s.buf[s.tok:s.i])
				s.tok = -1
				return v, ok
			}
		}
		if !s.fill() {
			s.tok = -1
			return 0, false
		}
	}
}

// parseNumber gives the exact value of short numbers by itself; longer ones go the long way.
func parseNumber(b []byte) (float64, bool) {
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) > 0 && len(digits) <= 15 {
		n := 0.0
		for _, c := range digits {
			if c < '0' || c > '9' {
				n = -1
				break
			}
			n = n*10 + float64(c-'0')
		}
		if n >= 0 {
			if len(digits) < len(b) {
				n = -n
			}
			return n, true
		}
	}
	v, err := strconv.ParseFloat(string(b), 64)
	return v, err == nil
}

// string takes a text, cut as names are, or a number as its digits.
func (s *scanner) string(into *string) {
	if s.peek() == '"' {
		if t, ok := s.text(); ok && string(t) != *into {
			*into = cutName(string(t))
		}
		return
	}
	if v, ok := s.number(); ok {
		*into = strconv.FormatFloat(v, 'f', -1, 64)
	}
}

func (s *scanner) literal(word string) bool {
	for k := range len(word) {
		if s.i == s.n && !s.fill() {
			return false
		}
		if s.buf[s.i] != word[k] {
			s.unexpected(word)
			return false
		}
		s.i++
	}
	return true
}

// skip passes over one value.
func (s *scanner) skip() {
	depth := 0
	for {
		switch c := s.peek(); c {
		case 0:
			return
		case '"':
			s.passString()
		case '{', '[':
			depth++
			s.i++
		case '}', ']':
			if depth == 0 {
				s.unexpected("a value")
				return
			}
			depth--
			s.i++
		case ',', ':':
			if depth == 0 {
				s.unexpected("a value")
				return
			}
			s.i++
		case 'n':
			s.literal("null")
		case 't':
			s.literal("true")
		case 'f':
			s.literal("false")
		default:
			if c != '-' && (c < '0' || c > '9') {
				s.unexpected("a value")
				return
			}
			s.number()
		}
		if depth == 0 {
			s.fresh = false
			return
		}
	}
}

// passString passes over a string of any length.
func (s *scanner) passString() {
	s.i++
	for {
		if s.i == s.n && !s.fill() {
			return
		}
		c := s.buf[s.i]
		s.i++
		if c == '"' {
			return
		}
		if c == '\\' {
			if s.i == s.n && !s.fill() {
				return
			}
			s.i++
		}
	}
}

// unescape resolves escapes in a string, as encoding/json does: halves of surrogate pairs become U+FFFD.
func (s *scanner) unescape(b []byte, escaped bool) []byte {
	if !escaped {
		return b
	}
	out := s.scratch[:0]
	for len(b) > 0 {
		k := bytes.IndexByte(b, '\\')
		if k < 0 || k+1 >= len(b) {
			out = append(out, b...)
			break
		}
		out = append(out, b[:k]...)
		c := b[k+1]
		b = b[k+2:]
		switch c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hex4(b)
			b = b[min(4, len(b)):]
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if len(b) >= 6 && b[0] == '\\' && b[1] == 'u' {
					low = hex4(b[2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					b = b[6:]
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
	}
	s.scratch = out
	return out
}

// hex4 reads four hexadecimal digits, -1 if they are not.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// end checks that nothing follows the text's one value, and returns the first error.
func (s *scanner) end() error {
	if s.err != nil {
		return s.err
	}
	if c := s.peek(); c != 0 {
		return fmt.Errorf("JSON has %q after its end", c)
	}
	if s.err == errCut {
		return nil
	}
	return s.err
}
