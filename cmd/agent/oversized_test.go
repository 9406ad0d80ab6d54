package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// manyLabels writes so many of them, as a mapping of YAML or as an exposition has them.
func manyLabels(n int, format string) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return "{" + strings.Join(all, ", ") + "}"
}

// What a receiver would throw away is named before that: by doctor where it comes from a source, by check-config where the configuration
// makes it.
func TestSeriesThatReceiversThrowAwayAreNamed(t *testing.T) {
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "crowded%s 1\nlean 1\n", manyLabels(35, `l%d="v"`))
	}))
	defer source.Close()
	destination := "remote_write: [{name: d, url: \"http://127.0.0.1:1/write\"%s}]\n"
	scrape := func(labels string) string {
		return "probes: {scrape: [{job_name: j, url: \"" + source.URL + "\", labels: " + labels + "}]}\n"
	}
	relabel := `, write_relabel_configs: [{regex: "l[1-3].", action: labeldrop}]`
	for _, c := range []struct {
		what, yaml     string
		doctor, config string // what they find; empty: nothing
	}{
		{"few", fmt.Sprintf(destination, "") + "global: {external_labels: {site: msk}}\n", "", ""},
		{"of a source", fmt.Sprintf(destination, "") + scrape("{}"), "crowded has 38 labels", ""},
		{"relabelled", fmt.Sprintf(destination, relabel) + scrape("{}"), "", ""},
		{"of the configuration", fmt.Sprintf(destination, "") + "global: {external_labels: " + manyLabels(28, "e%d: v") + "}\n", "has 31 labels", "has 31 labels"},
		{"of a target", fmt.Sprintf(destination, "") + scrape(manyLabels(28, "e%d: v")), "lean has 31 labels", "up has 31 labels"},
	} {
		t.Run(c.what, func(t *testing.T) {
			all, _ := diagnose(t, c.yaml)
			got := ""
			for _, f := range all {
				if f.Check == "d: labels" {
					if got += f.Found; f.Level != levelWarn || !strings.Contains(f.Remedy, "labeldrop") {
						t.Errorf("%+v", f)
					}
				}
			}
			if !strings.Contains(got, c.doctor) || c.doctor == "" && got != "" {
				t.Errorf("doctor: %q", got)
			}
			file := filepath.Join(t.TempDir(), "agent.yml")
			if err := os.WriteFile(file, []byte(c.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			if code := dispatch([]string{"check-config", "--config.file=" + file}, &out, &errs); code != 0 {
				t.Errorf("check-config: exit code %d", code)
			}
			if !strings.Contains(errs.String(), c.config) || c.config == "" && errs.Len() > 0 {
				t.Errorf("check-config: %q", errs.String())
			}
			if strings.Count(errs.String(), "\n") > 10 {
				t.Errorf("check-config is too verbose:\n%s", &errs)
			}
		})
	}
}
