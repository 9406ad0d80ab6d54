package push

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"headend-agent/internal/metric"
)

// memory is a Source: rounds in memory, and an account of what became of their samples.
type memory struct {
	mu     sync.Mutex
	rounds []memoryRound
	grown  chan struct{}
	hands  [2]*metric.Batch
	held   [2][]int // rounds in hand, by lane
	done   int      // rounds acknowledged
	out    metric.Outcome
	fails  []bool // answerLost of each
	note   string
	notes  int
	unsure bool // of batches
	lanes  bool // rounds younger than live are the live lane's
	split  bool // batches of one round each

	outdated chan struct{}
}

const live = 10 * time.Second

type memoryRound struct {
	metric.Round
	at    time.Time
	state int // 0 waiting, 1 in hand, 2 done
}

func newMemory() *memory { return &memory{grown: make(chan struct{})} }

func (m *memory) append(r metric.Round) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rounds = append(m.rounds, memoryRound{Round: r, at: time.Now()})
	close(m.grown)
	m.grown = make(chan struct{})
}

func (m *memory) Next(ctx context.Context, limit metric.Limit) (*metric.Batch, error) {
	for {
		m.mu.Lock()
		var take []int
		n := 0
		for i := range m.rounds {
			r := &m.rounds[i]
			young := time.Since(r.at) < live
			switch {
			case r.state == 1 && slices.Contains(m.held[limit.Lane], i): // the same place again
			case r.state != 0, m.lanes && young != (limit.Lane == metric.Live):
				continue
			}
			if n > 0 && (n+len(r.Values) > limit.Samples || m.split) {
				break
			}
			n += len(r.Values)
			take = append(take, i)
		}
		var wait time.Duration
		if len(take) > 0 {
			wait = limit.Linger - time.Since(m.rounds[take[0]].at)
		}
		if len(take) > 0 && (wait <= 0 || n >= limit.Samples) {
			b := m.batch(take)
			m.hands[limit.Lane], m.held[limit.Lane] = b, take
			m.mu.Unlock()
			return b, nil
		}
		grown := m.grown
		m.mu.Unlock()
		var timeout <-chan time.Time
		if wait > 0 {
			timeout = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-grown:
		case <-timeout:
		}
	}
}

func (m *memory) batch(take []int) *metric.Batch {
	b := &metric.Batch{Unsure: m.unsure, Outdated: m.outdated}
	at := map[metric.Ref]int{}
	for _, i := range take {
		r := &m.rounds[i]
		r.state = 1
		for k, ref := range r.Series {
			j, ok := at[ref]
			if !ok {
				j = len(b.Series)
				at[ref] = j
				b.Series = append(b.Series, metric.Samples{Ref: ref, StartMs: r.StartMs})
			}
			b.Series[j].Points = append(b.Series[j].Points, metric.Point{TimeMs: r.TimeMs, Value: r.Values[k]})
			b.Count++
		}
	}
	return b
}

func (m *memory) Ack(b *metric.Batch, o metric.Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	lane := metric.Oldest
	if m.hands[metric.Live] == b {
		lane = metric.Live
	}
	if m.hands[lane] != b {
		panic("acknowledged a batch that is not in hand")
	}
	total := o.Delivered + o.Refused + o.Uncertain
	for _, n := range o.Dropped {
		total += n
	}
	if total != b.Count {
		panic(fmt.Sprintf("outcome %+v of a batch of %d", o, b.Count))
	}
	for _, i := range m.held[lane] {
		m.rounds[i].state = 2
		m.done++
	}
	m.hands[lane], m.held[lane] = nil, nil
	m.unsure = false
	m.out.Delivered += o.Delivered
	m.out.Refused += o.Refused
	m.out.Uncertain += o.Uncertain
	for reason, n := range o.Dropped {
		if m.out.Dropped == nil {
			m.out.Dropped = map[string]int{}
		}
		m.out.Dropped[reason] += n
	}
}

func (m *memory) Fail(_ *metric.Batch, answerLost bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails = append(m.fails, answerLost)
}

func (m *memory) Note() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.note
}

func (m *memory) SetNote(text string) {
	if len(text) > 64 {
		panic("note of " + fmt.Sprint(len(text)) + " bytes")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note = text
	m.notes++
}

func (m *memory) Pending() (samples int, age time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.rounds {
		if r := &m.rounds[i]; r.state != 2 {
			if samples == 0 {
				age = time.Since(r.at)
			}
			samples += len(r.Values)
		}
	}
	return samples, age
}

// outcome returns what was acknowledged so far.
func (m *memory) outcome() metric.Outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.out
	o.Dropped = maps.Clone(o.Dropped)
	return o
}

// series interns so many series of one family.
func series(n int) []metric.Ref {
	table := metric.NewTable()
	d := &metric.Desc{Name: "test_bytes_total", Help: "Bytes.", Type: metric.Counter, Unit: metric.Bytes}
	refs := make([]metric.Ref, n)
	for i := range refs {
		refs[i] = table.Intern(metric.LabelsOf(d.Name, "stream", fmt.Sprintf("s%05d", i)), d)
	}
	return refs
}

// fill appends rounds of all refs, step apart, the first one at first.
func (m *memory) fill(refs []metric.Ref, rounds int, first time.Time, step time.Duration) {
	for i := range rounds {
		values := make([]float64, len(refs))
		for k := range values {
			values[k] = float64(i*1000 + k)
		}
		m.append(metric.Round{
			TimeMs: first.Add(time.Duration(i) * step).UnixMilli(), StartMs: first.Add(-time.Hour).UnixMilli(), Series: refs, Values: values,
		})
	}
}

func roundOf(refs []metric.Ref, values []float64, at time.Time) metric.Round {
	return metric.Round{TimeMs: at.UnixMilli(), Series: refs, Values: values}
}
