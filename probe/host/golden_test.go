package host

import (
	"path/filepath"
	"testing"

	"headend-agent/probe"
	"headend-agent/probe/probetest"
)

func kind(t testing.TB, name string) probe.Kind {
	t.Helper()
	for _, k := range Kinds() {
		if k.Name == name {
			return k
		}
	}
	t.Fatalf("no kind %q in the table", name)
	return probe.Kind{}
}

// golden runs a probe once over testdata/NAME and compares with testdata/NAME/golden.txt.
func golden(t *testing.T, name string) {
	t.Helper()
	dir := filepath.Join("testdata", name)
	got, err := probetest.Collect(probetest.New(t, kind(t, name), probetest.NoConfig, probetest.Env(t, dir)))
	if err != nil {
		t.Fatal(err)
	}
	probetest.Golden(t, filepath.Join(dir, "golden.txt"), got)
}
