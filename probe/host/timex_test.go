package host

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"headend-agent/probe/probetest"
)

func TestTimex(t *testing.T) {
	dir := filepath.Join("testdata", "timex")
	p := probetest.New(t, kind(t, "timex"), probetest.NoConfig, probetest.Env(t, dir)).(*timex)
	reading := unix.Timex{Offset: -1500, Freq: 6553600, Maxerror: 16000000, Esterror: 200, Constant: 7, Tick: 10000,
		Ppsfreq: 655360000, Jitter: 3000, Shift: 2, Stabil: 327680000, Jitcnt: 1, Calcnt: 2, Errcnt: 3, Stbcnt: 4, Tai: 37}
	state, refused := 0, error(nil)
	p.adjtimex = func(t *unix.Timex) (int, error) {
		*t = reading
		return state, refused
	}

	reading.Status = unix.STA_NANO
	nanoseconds, err := probetest.Collect(p)
	if err != nil {
		t.Fatal(err)
	}
	reading.Status, state = 0x40, unix.TIME_ERROR
	microseconds, err := probetest.Collect(p)
	if err != nil {
		t.Fatal(err)
	}
	probetest.Golden(t, filepath.Join(dir, "golden.txt"), nanoseconds)
	probetest.Golden(t, filepath.Join(dir, "golden_unsynced.txt"), microseconds)

	refused = unix.EPERM
	if got, err := probetest.Collect(p); err != nil || got != "" {
		t.Errorf("where asking is forbidden: %v, %q; want nothing", err, got)
	}
	refused = unix.EFAULT
	if _, err := probetest.Collect(p); !errors.Is(err, unix.EFAULT) {
		t.Errorf("got %v, want the error of the call", err)
	}
}
