package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/internal/metric"
)

// waiting is a source with samples that nobody fetches.
type waiting struct {
	samples int
	since   time.Time
}

func (w *waiting) Pending() (int, time.Duration) { return w.samples, time.Since(w.since) }
func (w *waiting) Next(context.Context, metric.Limit) (*metric.Batch, error) {
	time.Sleep(time.Hour)
	return nil, context.Canceled
}
func (w *waiting) Ack(*metric.Batch, metric.Outcome) {}
func (w *waiting) Fail(*metric.Batch, bool)          {}
func (w *waiting) Note() string                      { return "" }
func (w *waiting) SetNote(string)                    {}

func TestHeartbeatTellsHowLongTheSenderIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &waiting{since: time.Now()}
		p := newHeartbeat(source)
		idle := func(want time.Duration, when string) {
			t.Helper()
			if got := p.idle(); got != want {
				t.Errorf("%s: idle for %s, want %s", when, got, want)
			}
		}
		p.Next(t.Context(), metric.Limit{})
		idle(0, "nothing waits")
		source.samples, source.since = 5, time.Now()
		time.Sleep(time.Minute)
		idle(time.Minute, "samples wait")
		p.Fail(nil, false)
		idle(0, "an attempt failed")
		time.Sleep(time.Hour)
		source.since = time.Now().Add(-time.Second)
		idle(time.Second, "the samples came after a long silence")
		p.Ack(nil, metric.Outcome{})
		idle(0, "acknowledged")
	})
}
