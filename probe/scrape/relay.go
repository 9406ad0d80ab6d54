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
	seeds    [2]maphash.Seed
	run      uint32
	edition  uint32 // of the metadata
	live     int    // series of the last run that went well
	known    map[textKey]*known
	families map[string]*family
	descs    map[string]*metric.Desc
	builder  *labels.Builder
	scratch  []metric.Label
}

// textKey stands for a series' text: two hashes by seeds of the process' own, so that two texts never meet, at a fraction of the memory.
type textKey [2]uint64

func (r *relay) key(text []byte) textKey {
	return textKey{maphash.Bytes(r.seeds[0], text), maphash.Bytes(r.seeds[1], text)}
}

// known is a series as the exposition writes it. ref is nil where relabelling drops it.
type known struct {
	ref     metric.Ref
	run     uint32 // the last one it came in
	edition uint32 // of the metadata it was learned under
	owned   bool   // dropped by rules.owners
}

// forgetBeyond is how many series that no longer come are remembered beside as many as do.
const forgetBeyond = 1000

// beforeFirst is above 0, the run of a series that has not come yet, by so much that 0 is not the one before the first.
const beforeFirst = 1

// newRelay makes a relay. Relays that read one after the other may share l.
func newRelay(r rules, l *lines) *relay {
	return &relay{
		rules: r, lines: l, builder: labels.NewBuilder(labels.EmptyLabels()),
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, run: beforeFirst,
		known: map[textKey]*known{}, families: map[string]*family{}, descs: map[string]*metric.Desc{},
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
func (r *relay) read(body io.Reader, format string, out *metric.Set) (counts, error) {
	var n counts
	r.run++
	r.lines.reset()
	defer func() { r.forget(n.scraped) }()
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
	r.live = n.scraped
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
		key := r.key(text)
		k := r.known[key]
		if k == nil || k.edition != r.edition {
			if !out.Room() {
				n.kept++
				continue
			}
			fresh, err := r.learn(p, out)
			if err != nil {
				return err
			}
			if k == nil {
				k = &known{}
				r.known[key] = k
			}
			fresh.run = k.run
			*k = fresh
		}
		if k.ref != nil {
			n.kept++
			if k.run+1 < r.run {
				n.added++
			}
			if r.limits.samples > 0 && n.kept > r.limits.samples {
				return fmt.Errorf("more than sample_limit %d samples", r.limits.samples)
			}
			out.AddRef(k.ref, value, ms)
		}
		if k.owned {
			n.owned++
		}
		k.run = r.run
	}
}

// forget drops series that no longer come, when they have become many. After a failure the last good run tells how many do.
func (r *relay) forget(scraped int) {
	if len(r.known) <= 2*max(scraped, r.live)+forgetBeyond {
		return
	}
	for text, k := range r.known {
		if k.run != r.run {
			delete(r.known, text)
		}
	}
}
