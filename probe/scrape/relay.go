package scrape

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"mime"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/model/textparse"

	"headend-agent/internal/metric"
)

const (
	textType        = "text/plain"
	openMetricsType = "application/openmetrics-text"
	eofLine         = "# EOF\n"
)

var errOwnTimes = errors.New("samples with timestamps are not taken here")

// limits are Prometheus' limits of a scrape; 0 is none. All but bytes count after relabelling.
type limits struct {
	bytes                              int64
	samples, labels, nameLen, valueLen int
}

// rules say what becomes of the series of an exposition.
type rules struct {
	target      labels.Labels // added to every series
	honorLabels bool          // the series' own labels win over target's
	ownTimes    ownTimes
	relabel     []*relabel.Config
	limits      limits
	owners      map[string]string // of names that are left out: see probe.Env
}

// ownTimes says what becomes of timestamps in the exposition.
type ownTimes uint8

const (
	honorTimes ownTimes = iota
	ignoreTimes
	refuseTimes
)

// counts tell of one run, as Prometheus' scrape_* series do.
type counts struct {
	scraped, kept, added int
	owned                int // left out, since another probe has the name
}

// relay turns expositions of one source into samples. It remembers what each series' text stands for.
type relay struct {
	rules
	lines    *lines
	marked   []byte // a chunk of OpenMetrics with an end of its own
	seed     maphash.Seed
	runs     int
	edition  uint32 // of the metadata
	known    lineup
	families map[string]*family
	descs    map[string]*metric.Desc
	builder  *labels.Builder
	scratch  []metric.Label
}

// forgetBeyond is how many families that no longer come are remembered beside as many as there are series.
const forgetBeyond = 1000

// newRelay makes a relay. Relays that read one after the other may share l.
func newRelay(r rules, l *lines) *relay {
	return &relay{
		rules: r, lines: l, builder: labels.NewBuilder(labels.EmptyLabels()),
		seed: maphash.MakeSeed(), families: map[string]*family{}, descs: map[string]*metric.Desc{},
	}
}

// mediaType tells the format of an answer. fallback, if not empty, stands for a missing or unknown one.
func mediaType(contentType, fallback string) (string, error) {
	t, _, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && (t == textType || t == openMetricsType):
		return t, nil
	case fallback != "":
		return fallback, nil
	case t == "text/html":
		return "", errors.New("answers HTML, not an exposition")
	case contentType == "":
		return "", errors.New("answers without Content-Type; fallback_scrape_protocol can name the format")
	}
	return "", fmt.Errorf("answers Content-Type %q, not an exposition", contentType)
}

// read adds the samples of a body in the given format. After an error, what it has added is void.
func (r *relay) read(body io.Reader, format string, out *metric.Set) (n counts, err error) {
	r.runs++
	r.lines.reset()
	r.known.begin()
	defer func() { r.known.end(err != nil) }()
	limit := r.limits.bytes
	if limit <= 0 {
		limit = 1 << 62
	}
	ended := false
	for first := true; ; first = false {
		chunk, err := r.lines.next(body, limit)
		if err == io.EOF {
			break
		}
		if err != nil {
			return n, err
		}
		if first && bytes.HasPrefix(bytes.TrimSpace(chunk), []byte("<")) {
			return n, errors.New("body is HTML, not an exposition")
		}
		if ended {
			return n, errors.New("unexpected data after # EOF")
		}
		var p textparse.Parser
		if format == openMetricsType {
			chunk, ended = r.endOpenMetrics(chunk)
			p = textparse.NewOpenMetricsParser(chunk, nil)
		} else {
			p = textparse.NewPromParser(withoutBreak(chunk), nil, false)
		}
		if err := r.samples(p, out, &n); err != nil {
			return n, err
		}
	}
	if format == openMetricsType && !ended {
		return n, errors.New("data does not end with # EOF")
	}
	return n, nil
}

// endOpenMetrics gives a chunk from the middle of a body the end that the parser asks for. It copies, since the rest of
// the body lies behind the chunk.
func (r *relay) endOpenMetrics(chunk []byte) (marked []byte, ended bool) {
	if bytes.HasSuffix(chunk, []byte(eofLine)) || bytes.HasSuffix(chunk, []byte(eofLine[:len(eofLine)-1])) {
		start := len(bytes.TrimSuffix(chunk, []byte("\n"))) - len(eofLine) + 1
		if start == 0 || chunk[start-1] == '\n' {
			return chunk, true
		}
	}
	r.marked = append(append(r.marked[:0], chunk...), eofLine...)
	return r.marked, false
}

// withoutBreak takes the last line break off, since the parser appends one, in place where there is room for just it.
func withoutBreak(chunk []byte) []byte {
	if n := len(chunk); n > 0 && chunk[n-1] == '\n' {
		return chunk[: n-1 : n]
	}
	return chunk[:len(chunk):len(chunk)]
}

func (r *relay) samples(p textparse.Parser, out *metric.Set, n *counts) error {
	for {
		entry, err := p.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("parse exposition: %w", err)
		}
		if entry != textparse.EntrySeries {
			r.metadata(p, entry)
			continue
		}
		text, ts, value := p.Series()
		var ms int64
		if ts != nil {
			switch r.ownTimes {
			case honorTimes:
				ms = *ts
			case refuseTimes:
				return errOwnTimes
			}
		}
		n.scraped++
		key := maphash.Bytes(r.seed, text)
		k, before := r.known.find(key)
		if !before || k.edition != r.edition {
			if !out.Room() {
				n.kept++
				continue
			}
			if k, err = r.learn(p, out); err != nil {
				return err
			}
			k.text = key
		}
		r.known.put(k)
		if k.owned {
			n.owned++
		}
		if k.ref == nil {
			continue
		}
		n.kept++
		if !before {
			n.added++
		}
		if r.limits.samples > 0 && n.kept > r.limits.samples {
			return fmt.Errorf("more than sample_limit %d samples", r.limits.samples)
		}
		out.AddRef(k.ref, value, ms)
	}
}
