package e2e

import (
	"fmt"
	"testing"
	"time"
)

// The clock goes a day ahead and comes back, and nothing is delivered between: every round has the time that it was
// measured at.
func TestClockStepsTwiceInVM(t *testing.T) {
	t.Parallel()
	inVM(t, "TestInsideClockSteps", "", agentToo(t))
}

func TestInsideClockSteps(t *testing.T) {
	insideVM(t)
	runtimeDir(t)
	began, up := time.Now(), monotonic(t)
	step := func(by time.Duration) {
		now := began.Add(monotonic(t) - up + by)
		must(t, nil, "date", "-s", fmt.Sprintf("@%d.%03d", now.Unix(), now.UnixMilli()%1000))
	}
	l := startLedger(t)
	startAgent(t, hurried(l.address))
	l.has(t, 2)
	l.stand(down)
	time.Sleep(7 * time.Second)
	step(24 * time.Hour)
	time.Sleep(7 * time.Second)
	step(0)
	time.Sleep(7 * time.Second)
	l.stand(nil)
	l.everyRoundOnce(t, 1)
	const odd = 3000 // ms; setting the clock takes its time
	for name, samples := range l.of() {
		for _, s := range samples {
			if s.ms < began.UnixMilli()-odd || s.ms > time.Now().UnixMilli()+odd {
				t.Fatalf("%s has a sample of %v, between %v and %v", name, time.UnixMilli(s.ms), began, time.Now())
			}
		}
	}
}
