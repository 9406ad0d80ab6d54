package host

import (
	"path/filepath"
	"testing"
	"time"

	"headend-agent/probe/probetest"
)

func TestTime(t *testing.T) {
	dir := filepath.Join("testdata", "time")
	p := probetest.New(t, kind(t, "time"), probetest.NoConfig, probetest.Env(t, dir))
	p.(*clock).now = func() time.Time {
		return time.Unix(1794300000, 250_000_000).In(time.FixedZone("MSK", 3*3600))
	}
	got, err := probetest.Collect(p)
	if err != nil {
		t.Fatal(err)
	}
	probetest.Golden(t, filepath.Join(dir, "golden.txt"), got)
}
