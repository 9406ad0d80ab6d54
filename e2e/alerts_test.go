package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// The rules are right, and each fires in its test, by Prometheus' own tool.
func TestAlertRules(t *testing.T) {
	for _, step := range []struct{ what, pattern string }{{"check", "../packaging/alerts/*.yml"}, {"test", "../packaging/alerts/tests/*.yml"}} {
		files, err := filepath.Glob(step.pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", step.pattern, err)
		}
		out, err := exec.Command("promtool", append([]string{step.what, "rules"}, files...)...).CombinedOutput()
		if err != nil {
			t.Errorf("promtool %s rules: %v\n%s", step.what, err, out)
		}
	}
}
