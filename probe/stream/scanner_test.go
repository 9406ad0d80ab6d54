package stream

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// pull decodes everything that a text holds, as encoding/json does.
func pull(s *scanner) any {
	switch c := s.peek(); c {
	case '{':
		s.object()
		m := map[string]any{}
		for k, ok := s.key(); ok; k, ok = s.key() {
			name := asJSON(k)
			m[name] = pull(s)
		}
		return m
	case '[':
		s.array()
		list := []any{}
		for s.item() {
			list = append(list, pull(s))
		}
		return list
	case '"':
		t, _ := s.text()
		return asJSON(t)
	default:
		v, ok := s.number()
		if !ok {
			return nil
		}
		if c == 't' || c == 'f' {
			return v == 1
		}
		return v
	}
}

// asJSON replaces what is not UTF-8, as encoding/json does.
func asJSON(b []byte) string { return string([]rune(string(b))) }

func scan(r io.Reader) *scanner {
	s := &scanner{buf: make([]byte, 16)} // so small that every token crosses its end
	s.reset(r)
	return s
}

func FuzzScanner(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-2.5e3,true,false,null,"x"],"b":{}}`, ` [ [] , {"k" : "v"} ] `, `{"e":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83d\u0041\u12"}`,
		`[0.1,123456789012345678901234567890,1e400,-0,1E-7]`, `{"long":"` + strings.Repeat("é\\n", 50) + `"}`, `[1,]`, `{"a" 1}`, `<html>`, `[[[[`, `"`,
		`{"skipped":{"deep":[{"x":"}]\""}]},"n":7}`, "[\"\xff\"]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := scan(iotest.OneByteReader(bytes.NewReader(text)))
		got := pull(s)
		err := s.end()
		skip := scan(bytes.NewReader(text))
		skip.skip()
		skipErr := skip.end()
		var want any
		if json.Unmarshal(text, &want) != nil || !strings.ContainsAny(string(bytes.TrimSpace(text)[:1]), "{[") {
			return // a number by itself has no end
		}
		if err != nil || skipErr != nil {
			t.Fatalf("valid JSON refused: %v, %v", err, skipErr)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %#v, want %#v", got, want)
		}
	})
}

func TestScannerRefuses(t *testing.T) {
	for _, c := range []struct{ text, err string }{
		{``, "ends in the middle"},
		{`{"a":`, "ends in the middle"},
		{`{"a":12`, "ends in the middle"},
		{`{"a":"x`, "ends in the middle"},
		{`{"a":"x\`, "ends in the middle"},
		{`{"a":tru`, "ends in the middle"},
		{`{"a" 1}`, "a colon"},
		{`{"a":1 "b":2}`, "a comma"},
		{`{a:1}`, "a key"},
		{`[1,]`, "a value"},
		{`[nul]`, "null"},
		{`  <html>`, "answers HTML"},
		{`{} {}`, "after its end"},
		{`{"a":"` + strings.Repeat("x", tokenLimit) + `"}`, "longer than"},
	} {
		s := scan(strings.NewReader(c.text))
		pull(s)
		if err := s.end(); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%.20q: %v, want %q", c.text, err, c.err)
		}
	}
}

// endless never ends, and says nothing of interest.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

func TestScannerBounds(t *testing.T) {
	s := scan(endless{})
	s.skip()
	if err := s.end(); err == nil || !strings.Contains(err.Error(), "exceeds") {
		t.Errorf("an endless answer: %v", err)
	}
	s = scan(iotest.ErrReader(nil)) // 0, nil for ever
	s.skip()
	if err := s.end(); err != io.ErrNoProgress {
		t.Errorf("a stuck reader: %v", err)
	}
	s = scan(io.MultiReader(strings.NewReader(`{"a":"`), io.LimitReader(letters{}, 3<<20), strings.NewReader(`","b":7}`)))
	s.object()
	s.key()
	s.skip() // a string of any length may be passed over
	if k, ok := s.key(); !ok || string(k) != "b" || len(s.buf) > 64 {
		t.Errorf("after a long string: key %q, buffer of %d bytes, %v", k, len(s.buf), s.err)
	}
}

type letters struct{}

func (letters) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte{'x'}, len(b))), nil }
