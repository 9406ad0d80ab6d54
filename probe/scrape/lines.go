package scrape

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	chunkSize = 64 << 10
	lineLimit = 4 << 20 // bytes of one line
)

var (
	errTooLarge = errors.New("body exceeds the size limit")
	errCutShort = errors.New("last line is cut short")
)

// lines hands out a body in chunks of whole lines, so that a large exposition needs no memory of its own size.
type lines struct {
	buf   []byte
	size  int   // bytes of a usual chunk
	whole bool  // the last line must end too
	n     int   // bytes of buf in use: the chunk that was handed out last, and what follows it
	from  int   // where the latter begins
	total int64 // bytes read
}

// reset begins a new body.
func (l *lines) reset() { l.n, l.from, l.total = 0, 0, 0 }

// next returns the next chunk, or io.EOF. It ends with a line break, except at the end of the body. The chunk is the caller's
// until the next call. At most limit bytes are read in all.
func (l *lines) next(r io.Reader, limit int64) ([]byte, error) {
	l.n = copy(l.buf, l.buf[l.from:l.n])
	l.from = 0
	if len(l.buf) > l.size && l.n <= l.size/2 {
		l.buf = append(make([]byte, 0, l.size), l.buf[:l.n]...)[:l.size] // after a long line
	}
	want := l.size
	for {
		if l.n == len(l.buf) {
			if l.n >= lineLimit {
				return nil, fmt.Errorf("a line is longer than %d bytes", lineLimit)
			}
			grown := make([]byte, max(l.size, 2*len(l.buf)))
			copy(grown, l.buf[:l.n])
			l.buf = grown
		}
		k, err := r.Read(l.buf[l.n:])
		l.n += k
		if l.total += int64(k); l.total > limit {
			return nil, errTooLarge
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read body: %w", err)
		}
		if err == io.EOF {
			if l.n == 0 {
				return nil, io.EOF
			}
			if l.whole && l.buf[l.n-1] != '\n' {
				return nil, errCutShort
			}
			l.from = l.n
			return l.buf[:l.n], nil
		}
		if l.n < want {
			continue
		}
		if end := wholeLines(l.buf[:l.n]); end > 0 {
			l.from = end
			return l.buf[:end], nil
		}
		want = 2 * l.n
	}
}

// wholeLines returns where the last whole line of b ends. A line break inside quotes ends no line: the parser takes it, though the
// format's specification wants it escaped.
func wholeLines(b []byte) (end int) {
	for {
		line := b[end:]
		i := bytes.IndexByte(line, '\n')
		if i < 0 {
			return end
		}
		if head := bytes.TrimLeft(line[:i], " \t"); len(head) == 0 || head[0] != '#' {
			if i = endOfSeries(line, i); i < 0 {
				return end
			}
		}
		end += i + 1
	}
}

// endOfSeries returns the first line break of a series' line that is not in quotes, -1 if there is none yet. at is its first one of all.
func endOfSeries(line []byte, at int) int {
	from := 0
	for {
		q := bytes.IndexByte(line[from:at], '"')
		if q < 0 {
			return at
		}
		from += q + 1
		for ; from < len(line) && line[from] != '"'; from++ {
			if line[from] == '\\' {
				from++
			}
		}
		if from++; from > len(line) {
			return -1
		}
		if from > at {
			i := bytes.IndexByte(line[from:], '\n')
			if i < 0 {
				return -1
			}
			at = from + i
		}
	}
}
