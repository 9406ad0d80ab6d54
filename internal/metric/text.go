package metric

import (
	"io"
	"slices"
	"strings"
)

// Text collects samples and writes them as one text exposition (format 0.0.4), a family at a time.
// The zero value is ready for use.
type Text struct {
	families map[string]*family
}

type family struct {
	desc  *Desc
	lines []textLine
}

type textLine struct {
	ref   Ref
	value float64
}

// Add takes the samples of a round, stale markers left out. The exposition carries no times: a reader stamps what it reads.
func (t *Text) Add(r Round) {
	if t.families == nil {
		t.families = map[string]*family{}
	}
	for i, ref := range r.Series {
		if IsStale(r.Values[i]) {
			continue
		}
		name := ref.Desc().Name
		if name == "" {
			name = ref.Labels.Name()
		}
		f := t.families[name]
		if f == nil {
			f = &family{desc: ref.Desc()}
			t.families[name] = f
		}
		f.lines = append(f.lines, textLine{ref, r.Values[i]})
	}
}

// WriteTo writes the exposition, families sorted by name, series in the order of their rounds.
func (t *Text) WriteTo(w io.Writer) (int64, error) {
	names := make([]string, 0, len(t.families))
	for n := range t.families {
		names = append(names, n)
	}
	slices.Sort(names)
	var total int64
	var b []byte
	for _, n := range names {
		b = t.families[n].append(b[:0], n)
		k, err := w.Write(b)
		total += int64(k)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (f *family) append(b []byte, name string) []byte {
	if f.desc.Help != "" {
		b = append(append(append(b, "# HELP "...), name...), ' ')
		b = append(b, strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(f.desc.Help)...)
		b = append(b, '\n')
	}
	b = append(append(append(b, "# TYPE "...), name...), ' ')
	b = append(append(b, f.textType()...), '\n')
	for _, l := range f.lines {
		b = append(appendText(b, l.ref.Labels.All()), ' ')
		b = append(appendValue(b, l.value), '\n')
	}
	return b
}

// textType names the type in words that the text format knows.
func (f *family) textType() string {
	switch f.desc.Type {
	case Counter, Gauge, Histogram, Summary:
		return f.desc.Type.String()
	case Info, StateSet:
		return "gauge"
	}
	return "untyped"
}
