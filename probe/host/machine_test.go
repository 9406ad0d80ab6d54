package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headend-agent/internal/metric"
	"headend-agent/probe"
	"headend-agent/probe/probetest"
)

// machine is one made up by a test: its files change as the test goes on.
type machine struct {
	t   testing.TB
	dir string
}

func newMachine(t testing.TB) machine {
	m := machine{t, t.TempDir()}
	for _, d := range []string{"proc", "sys", "root", "dev"} {
		if err := os.Mkdir(filepath.Join(m.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m machine) env() probe.Env { return probetest.Env(m.t, m.dir) }

func (m machine) write(path, text string) {
	m.t.Helper()
	path = filepath.Join(m.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// only runs p and returns the samples of the families named, without comments.
func only(t testing.TB, p probe.Probe, names ...string) string {
	t.Helper()
	got, err := probetest.Collect(p)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(got) {
		for _, n := range names {
			if strings.HasPrefix(line, n+"{") || strings.HasPrefix(line, n+" ") {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// decode stands for a configuration that sets what set sets.
func decode[T any](set func(*T)) func(any) error {
	return func(c any) error {
		set(c.(*T))
		return nil
	}
}

func startMs(t testing.TB, p probe.Probe) (ms int64) {
	t.Helper()
	s := metric.NewSet(metric.NewTable(), 1000)
	if err := p.Collect(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	s.End(metric.Round{}, func(r metric.Round) { ms = r.StartMs })
	return ms
}
