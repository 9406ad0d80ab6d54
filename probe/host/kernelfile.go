package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// kernelFileLimit bounds what is read of one file; the largest of them has some 20 KiB.
const kernelFileLimit = 1 << 20

var errMalformed = errors.New("malformed line")

// readFile reads a file of procfs, whose size nobody knows before, into buf and returns it, grown where that was needed.
func readFile(path string, buf []byte) ([]byte, error) {
	buf = buf[:0]
	f, err := os.Open(path)
	if err != nil {
		return buf, err
	}
	defer f.Close()
	for len(buf) < kernelFileLimit {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, max(4096, cap(buf)))...)[:len(buf)]
		}
		n, err := f.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, fmt.Errorf("%s is larger than %d bytes", path, kernelFileLimit)
}

// cutLine takes the first line off data.
func cutLine(data []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(data, []byte{'\n'})
	return line, rest
}

// cutWord takes the first word off a line; it is empty at the end of the line.
func cutWord(line []byte) (word, rest []byte) {
	line = bytes.TrimLeft(line, " \t")
	if i := bytes.IndexAny(line, " \t"); i >= 0 {
		return line[:i], line[i:]
	}
	return line, nil
}

// cutValue takes a field's name and value off a line that begins with both.
func cutValue(line []byte) (name []byte, value float64, rest []byte, err error) {
	name, rest = cutWord(line)
	number, rest := cutWord(rest)
	value, err = strconv.ParseFloat(string(number), 64)
	if err != nil || len(name) == 0 {
		return nil, 0, nil, fmt.Errorf("%w %.60q", errMalformed, line)
	}
	return name, value, rest, nil
}

// guarded calls a reader of procfs that panics over a line that is cut short, and makes an error of that.
func guarded[T any](read func() (T, error)) (_ T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errMalformed, r)
		}
	}()
	return read()
}
