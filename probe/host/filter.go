package host

import (
	"fmt"
	"regexp"

	"headend-agent/internal/metric"
)

// compile makes the regular expression of one configuration key.
func compile(key, expr string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return re, nil
}

// exclusion matches names to leave out; the empty expression leaves out none.
type exclusion struct{ re *regexp.Regexp }

func compileExclusion(key, expr string) (exclusion, error) {
	if expr == "" {
		return exclusion{}, nil
	}
	re, err := compile(key, expr)
	return exclusion{re}, err
}

func (e exclusion) has(name string) bool { return e.re != nil && e.re.MatchString(name) }

// kernelFields names families after fields of a kernel file: those that match a pattern, each asked and made once.
// As in node_exporter they are untyped, for the file does not tell counters from gauges.
type kernelFields struct {
	prefix, file string
	keep         *regexp.Regexp
	known        map[string]*metric.Desc // nil: not kept
}

func newKernelFields(prefix, file string, keep *regexp.Regexp) kernelFields {
	return kernelFields{prefix, file, keep, map[string]*metric.Desc{}}
}

// desc returns the family of a field; nil where the pattern leaves it out or where no family can have such a name.
func (k *kernelFields) desc(field []byte) *metric.Desc {
	d, ok := k.known[string(field)]
	if !ok {
		if k.keep.Match(field) && isName(field) {
			d = untyped(k.prefix, k.file, string(field))
		}
		k.known[string(field)] = d
	}
	return d
}

func untyped(prefix, file, field string) *metric.Desc {
	return &metric.Desc{Name: prefix + field, Help: "Field " + field + " of " + file + ".", Type: metric.Unknown}
}

func untypedDescs(prefix, file string, fields ...string) []*metric.Desc {
	ds := make([]*metric.Desc, len(fields))
	for i, f := range fields {
		ds[i] = untyped(prefix, file, f)
	}
	return ds
}

// isName tells whether field may be a part of a metric name.
func isName(field []byte) bool {
	for _, c := range field {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return len(field) > 0
}
