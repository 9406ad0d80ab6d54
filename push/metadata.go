package push

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"

	"headend-agent/internal/metric"
)

// metadata is what a receiver of 1.0, which knows none of a series, is told of families: in requests of their own, once a minute,
// as Prometheus does. By 2.0 each series carries it.
type metadata struct {
	mu   sync.Mutex
	seen map[*metric.Desc]time.Time // when a series of the family last went out
	due  time.Time                  // zero: nothing was seen yet
	wait time.Duration              // after failures, until the next attempt
	said time.Time                  // that it is refused
}

const (
	describeEvery = time.Minute // Prometheus' own defaults
	describeMost  = 2000        // families in a request
	describeShare = 20          // of the line's time at most the 20th part
	describeRare  = time.Hour   // longest wait after failures, and between two lines of log
	familyForgot  = time.Hour   // unseen
	maxFamilies   = 20_000
)

// note takes the families of what goes out. The first are told a minute later, when all probes have had their turn.
func (m *metadata) note(set []metric.Samples, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var last *metric.Desc
	for i := range set {
		d := set[i].Ref.Desc()
		if d == last || d.Name == "" {
			continue
		}
		last = d
		if m.seen == nil || len(m.seen) >= maxFamilies {
			m.seen = map[*metric.Desc]time.Time{}
		}
		m.seen[d] = now
	}
	if m.due.IsZero() {
		m.due = now.Add(describeEvery)
	}
}

// take returns the families to tell now, one of each name, and none until the next are due. The lane that takes them tells them.
func (m *metadata) take(now time.Time) []*metric.Desc {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.due.IsZero() || now.Before(m.due) {
		return nil
	}
	m.due = now.Add(describeEvery)
	var all []*metric.Desc
	for d, at := range m.seen {
		if now.Sub(at) >= familyForgot {
			delete(m.seen, d)
		} else {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b *metric.Desc) int { // of two texts the one that was seen last
		return cmp.Or(cmp.Compare(a.Name, b.Name), m.seen[b].Compare(m.seen[a]), cmp.Compare(a.Help, b.Help))
	})
	return slices.CompactFunc(all, func(a, b *metric.Desc) bool { return a.Name == b.Name })
}

// told notes how it went, and returns whether to log that.
func (m *metadata) told(ok, answered bool, took, asked time.Duration, now time.Time) (say bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ok {
		m.wait, m.due = 0, now.Add(max(describeEvery, describeShare*took))
		return false
	}
	m.wait = min(max(2*m.wait, 2*describeEvery), describeRare)
	m.due = now.Add(max(m.wait, min(asked, retryAfterMax)))
	say = answered && (m.said.IsZero() || now.Sub(m.said) >= describeRare)
	if say {
		m.said = now
	}
	return say
}

// describe tells the receiver of the families that went out, where that is due.
func (l *lane) describe(ctx context.Context, p *protocol) {
	s := l.s
	begin := time.Now()
	for all := s.metadata.take(begin); len(all) > 0; {
		n := l.builder.describe(all, s.receiver.bodyLimit())
		a := l.aside(ctx, p, l.builder.packer.pack(p.encoding, l.builder.v1.finish()))
		if ctx.Err() != nil {
			return
		}
		all = all[n:]
		ok := a.status/100 == 2 && !a.page
		if ok && len(all) > 0 {
			continue
		}
		if now := time.Now(); s.metadata.told(ok, a.status > 0 && !a.page, now.Sub(begin), a.retryAfter, now) {
			s.report.log.Warn("the receiver does not take metadata; that costs no samples", "status", a.status, "answer", a.text)
		}
		return
	}
}

// describe makes the body of a request with the metadata of the first families, at least one, and returns how many. It fits into
// the bound even where compression gains nothing.
func (b *builder) describe(all []*metric.Desc, bound int) int {
	b.v1.begin()
	for i, d := range all {
		m := prompb.MetricMetadata{
			Type: prompb.MetricMetadata_MetricType(messageTypes[d.Type]), MetricFamilyName: d.Name, Help: shortHelp(d.Help), Unit: string(d.Unit),
		}
		if !classicName(d.Name, true) {
			m.MetricFamilyName = model.EscapeName(d.Name, model.UnderscoreEscaping)
		}
		if i > 0 && (i >= describeMost || len(b.v1.body)+m.Size()+maxFieldHead > bound) {
			return i
		}
		var part []byte
		b.v1.body, part = extend(b.v1.body, tagMetadataV1, m.Size())
		must(m.MarshalToSizedBuffer(part))
	}
	return len(all)
}
