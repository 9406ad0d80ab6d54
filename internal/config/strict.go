package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// problem is one thing wrong with a file.
type problem struct {
	line int
	text string
}

// decode fills into, a pointer, from a node, and names everything that is wrong with it: unknown keys, and values of a wrong
// form, each with its line. The decoder's own strict mode knows neither lines nor what a key may have meant.
func decode(n *yaml.Node, into any, path string, notOurs map[string]string) []problem {
	if n.IsZero() {
		return nil
	}
	c := checker{notOurs: notOurs}
	c.check(n, reflect.TypeOf(into).Elem(), path)
	if len(c.problems) > 0 {
		return c.problems
	}
	if err := n.Decode(into); err != nil {
		return []problem{{n.Line, path + ": " + plain(err)}}
	}
	return nil
}

type checker struct {
	notOurs  map[string]string // keys that the field's users know from elsewhere, and what to say of them
	problems []problem
}

func (c *checker) add(line int, format string, args ...any) {
	c.problems = append(c.problems, problem{line, fmt.Sprintf(format, args...)})
}

var (
	nodeType  = reflect.TypeFor[yaml.Node]()
	parsers   = []reflect.Type{reflect.TypeFor[yaml.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](), reflect.TypeFor[oldUnmarshaler]()}
	mergeNode = "!!merge"
)

// oldUnmarshaler is the form that Prometheus' packages use.
type oldUnmarshaler interface {
	UnmarshalYAML(unmarshal func(any) error) error
}

func (c *checker) check(n *yaml.Node, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if t == nodeType || n.Tag == "!!null" {
		return
	}
	before := len(c.problems)
	switch {
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		c.checkStruct(n, t, path)
	case t.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			c.check(n.Content[i+1], t.Elem(), join(path, n.Content[i].Value))
		}
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for i, item := range n.Content {
			c.check(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		c.try(n, t, path)
		return
	}
	if len(c.problems) == before && parses(t) {
		c.try(n, t, path)
	}
}

// try decodes a node by itself: so a mistake in it has a line.
func (c *checker) try(n *yaml.Node, t reflect.Type, path string) {
	err := n.Decode(reflect.New(t).Interface())
	switch {
	case err == nil:
	case t == reflect.TypeFor[model.Duration]():
		c.add(n.Line, "%s: %q is not a duration; write a number with its unit, like 10s or 5m", path, n.Value)
	case t == reflect.TypeFor[units.Base2Bytes]():
		c.add(n.Line, "%s: %q is not a size; write a number with its unit, like 64MiB or 256KiB", path, n.Value)
	default:
		c.add(n.Line, "%s: %s", path, plain(err))
	}
}

func parses(t reflect.Type) bool {
	for _, p := range parsers {
		if reflect.PointerTo(t).Implements(p) {
			return true
		}
	}
	return false
}

func (c *checker) checkStruct(n *yaml.Node, t reflect.Type, path string) {
	fields := map[string]reflect.Type{}
	others := collect(t, fields)
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == mergeNode {
			continue
		}
		at := join(path, key.Value)
		if seen[key.Value] {
			c.add(key.Line, "%s: given twice", at)
		}
		seen[key.Value] = true
		if ft, ok := fields[key.Value]; ok {
			c.check(value, ft, at)
		} else if others != nil {
			c.check(value, others, at)
		} else if why, ok := c.notOurs[key.Value]; ok {
			c.add(key.Line, "%s: known from Prometheus, but not supported here: %s", at, why)
		} else {
			c.add(key.Line, "%s: unknown key; %s", at, suggest(key.Value, fields))
		}
	}
}

// collect gathers the keys of a struct as yaml.v3 sees them. Where it takes any other key, too, others is the type of their values.
func collect(t reflect.Type, into map[string]reflect.Type) (others reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case strings.Contains(opts, "inline") && f.Type.Kind() == reflect.Map:
			others = f.Type.Elem()
		case strings.Contains(opts, "inline"):
			if o := collect(f.Type, into); o != nil {
				others = o
			}
		case name == "-" || !f.IsExported():
		case name == "":
			into[strings.ToLower(f.Name)] = f.Type
		default:
			into[name] = f.Type
		}
	}
	return others
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// suggest says what key may have been meant.
func suggest[T any](key string, known map[string]T) string {
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	best, least := "", 1+len(key)/3
	for _, name := range names {
		if d := distance(key, name); d <= least && (best == "" || d < distance(key, best)) {
			best = name
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	if len(names) == 0 {
		return "there are no settings here"
	}
	return "known are " + strings.Join(names, ", ")
}

// distance is how many letters must be put in, left out or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// plain takes the decoder's own words and line numbers off an error.
func plain(err error) string {
	var te *yaml.TypeError
	if errors.As(err, &te) && len(te.Errors) > 0 {
		text := te.Errors[0]
		if strings.HasPrefix(text, "line ") {
			_, text, _ = strings.Cut(text, ": ")
		}
		return text
	}
	return strings.TrimPrefix(err.Error(), "yaml: ")
}
