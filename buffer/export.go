package buffer

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"headend-agent/internal/metric"
)

// Export writes all samples as OpenMetrics text with timestamps, oldest first. Stale markers have no form there and are left out.
// It returns how many samples it has written, and how many it could not: of damaged blocks, or without a time.
func (a *Archive) Export(w io.Writer) (written, lost int, err error) {
	e := exporter{out: bufio.NewWriterSize(w, 64<<10), families: map[string]bool{}, epochs: a.found.record.epochs}
	err = a.rounds(metric.NewTable(), e.write, func(_ *segment, f *frame, _ error) { e.lost += int(f.samples) })
	if err == nil {
		e.out.WriteString("# EOF\n")
		err = e.out.Flush()
	}
	if err != nil {
		return e.written, e.lost, fmt.Errorf("export: %w", err)
	}
	return e.written, e.lost, nil
}

type exporter struct {
	out           *bufio.Writer
	book          *book
	names         []string // of the series in book; "" where the series has not come yet
	families      map[string]bool
	epochs        []epochOffset
	line          []byte
	written, lost int
}

// noBoot is the epoch of no boot: what is not stamped yet, will not be.
const noBoot = 1<<64 - 1

func (e *exporter) write(k *book, rounds []round) error {
	if k != e.book {
		e.book, e.names = k, make([]string, len(k.series))
	}
	for i := range rounds {
		r := &rounds[i]
		offset, kind := offsetIn(e.epochs, noBoot, r.epoch, r.unset)
		if kind != stamped {
			e.lost += len(r.values)
			continue
		}
		ms := r.timeMs + offset
		for p, id := range k.lists[r.list] {
			if metric.IsStale(r.values[p]) {
				continue
			}
			if e.names[id] == "" {
				e.names[id] = k.series[id].Labels.String()
				e.family(k.series[id])
			}
			e.line = append(append(e.line[:0], e.names[id]...), ' ')
			e.line = appendFloat(e.line, r.values[p])
			e.line = append(e.line, ' ')
			e.line = strconv.AppendFloat(e.line, float64(ms)/1000, 'f', 3, 64)
			e.line = append(e.line, '\n')
			if _, err := e.out.Write(e.line); err != nil {
				return err
			}
			e.written++
		}
	}
	return nil
}

func appendFloat(b []byte, v float64) []byte {
	if v != v {
		return append(b, "NaN"...)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

// family writes what is known of a family, before its first sample. OpenMetrics names counters without their ending.
func (e *exporter) family(s metric.Ref) {
	d := s.Desc()
	name, typ := d.Name, d.Type
	if base, ok := strings.CutSuffix(name, "_total"); ok && typ == metric.Counter {
		name = base
	} else if typ == metric.Counter {
		typ = metric.Unknown
	}
	if name == "" || e.families[name] {
		return
	}
	e.families[name] = true
	fmt.Fprintf(e.out, "# TYPE %s %s\n", name, typ)
	if d.Help != "" {
		fmt.Fprintf(e.out, "# HELP %s %s\n", name, strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(d.Help))
	}
}
