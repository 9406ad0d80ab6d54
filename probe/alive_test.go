package probe

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/internal/metric"
)

// Neither a source that never answers nor a probe that is off makes a loop late; a loop that does not turn is.
func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		never := make(chan struct{})
		stop := b.run(
			Instance{Kind: "stuck", Interval: 10 * time.Second, Probe: probeFunc(func(context.Context, *metric.Set) error { <-never; return nil })},
			Instance{Kind: "broken", Interval: 10 * time.Second, Probe: probeFunc(func(context.Context, *metric.Set) error { panic("broken") })},
		)
		for range 100 {
			time.Sleep(7 * time.Second)
			if source, late := b.Overdue(); late > 0 {
				t.Fatalf("%s is late by %s", source, late)
			}
		}
		b.jobs[0].expect(-time.Minute)
		if source, late := b.Overdue(); source != "stuck" || late != time.Minute {
			t.Errorf("%q is late by %s", source, late)
		}
		close(never)
		stop()
		if source, late := b.Overdue(); late != 0 {
			t.Errorf("%s is late by %s after the stop", source, late)
		}
	})
}
