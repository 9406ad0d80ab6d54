package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The README's picture is the import graph: these arrows, among the project's own packages, and no others.
var allowed = map[string][]string{
	"internal/metric":     {},
	"internal/receiver":   {},
	"internal/lean":       {},
	"internal/web":        {"internal/metric"},
	"internal/config":     {"buffer", "push"},
	"internal/agent":      {"internal/metric", "buffer", "push"},
	"internal/sim":        {"internal/agent", "internal/metric", "buffer", "probe", "push"},
	"buffer":              {"internal/metric"},
	"push":                {"internal/metric"},
	"probe":               {"internal/metric"},
	"probe/probetest":     {"internal/metric", "probe"},
	"probe/*":             {"internal/metric", "probe"},
	"probe/dvb":           {"internal/metric", "probe", "probe/dvb/frontend"},
	"probe/dvb/frontend":  {},
	"probe/gpu":           {"internal/metric", "probe", "probe/gpu/nvmlchild"},
	"probe/gpu/nvmlchild": {"internal/lean"},
	"packaging/sbom":      {},
	"packaging/grafana":   {},
}

func TestImportsAreThePicture(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}:{{join .Imports " "}}`, "headend-agent/...").Output() // on stderr it may warn of links in build/
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), ":")
		pkg = strings.TrimPrefix(pkg, "headend-agent/")
		if pkg == "cmd/agent" { // sees everything
			continue
		}
		may, ok := allowed[pkg]
		if group, _, _ := strings.Cut(pkg, "/"); !ok && strings.Contains(pkg, "/") {
			may, ok = allowed[group+"/*"]
		}
		if !ok {
			t.Errorf("%s is not in the picture", pkg)
		}
		seen++
		for imported := range strings.FieldsSeq(imports) {
			name, ours := strings.CutPrefix(imported, "headend-agent/")
			if ours && !slices.Contains(may, name) {
				t.Errorf("%s imports %s", pkg, name)
			}
		}
	}
	if seen < 6 {
		t.Errorf("only %d packages seen", seen)
	}
}
