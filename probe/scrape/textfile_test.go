package scrape

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"headend-agent/probe/probetest"
)

// drop writes files as site scripts do.
func drop(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Unix(1700000000, 5e8), time.Unix(1700000000, 5e8)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTextfile(t *testing.T) {
	dir := t.TempDir()
	p, err := build(t, "textfile", "directories: ["+dir+"]")
	if err != nil {
		t.Fatal(err)
	}
	collect := func() (string, string) {
		t.Helper()
		got, err := probetest.Collect(p)
		text := ""
		if err != nil {
			text = strings.ReplaceAll(err.Error(), dir, "DIR")
		}
		return strings.ReplaceAll(got, dir, "DIR"), text
	}
	const good = "# HELP backup_age_seconds Age.\n# TYPE backup_age_seconds gauge\nbackup_age_seconds{volume=\"a\"} 7\nplain 1\n"
	drop(t, dir, map[string]string{"good.prom": good, "ignored.txt": "x{", ".hidden.prom.tmp": "x{"})
	const want = `# HELP backup_age_seconds Age.
# TYPE backup_age_seconds gauge
backup_age_seconds{volume="a"} 7
# HELP node_textfile_mtime_seconds Unix time of the last change of a file that was read.
# TYPE node_textfile_mtime_seconds gauge
node_textfile_mtime_seconds{file="DIR/good.prom"} 1.7000000005e+09
# HELP node_textfile_scrape_error Whether a directory or file could not be read.
# TYPE node_textfile_scrape_error gauge
node_textfile_scrape_error 0
# TYPE plain untyped
plain 1
`
	got, msg := collect()
	check(t, got, want)
	if msg != "" {
		t.Error(msg)
	}

	// Broken files are left out whole, and the good one stays.
	for name, c := range map[string]struct{ text, err string }{
		"times.prom":  {"a 1\nb 2 1700000000000\n", "samples with timestamps"},
		"broken.prom": {"a 1\nb{ 2\n", "parse exposition"},
		"half.prom":   {"a 1\nb 12", "last line is cut short"},
		"large.prom":  {strings.Repeat("# "+strings.Repeat("x", 1000)+"\n", textfileLimit/1000), "body exceeds the size limit"},
		"html.prom":   {"<html>\n", "body is HTML"},
		"twice.prom":  {"a{x=\"1\",x=\"2\"} 1\n", "label name \"x\" comes twice"},
	} {
		drop(t, dir, map[string]string{name: c.text})
		got, msg := collect()
		check(t, got, strings.Replace(want, "scrape_error 0", "scrape_error 1", 1))
		if !strings.Contains(msg, "read DIR/"+name+": "+c.err) {
			t.Errorf("%s: error is %q, want %q", name, msg, c.err)
		}
		os.Remove(filepath.Join(dir, name))
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.prom"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, msg := collect(); !strings.Contains(msg, "not a regular file") {
		t.Errorf("a pipe: %q", msg)
	}
	os.Remove(filepath.Join(dir, "pipe.prom"))
	if got, msg := collect(); got != want || msg != "" {
		t.Errorf("after the broken ones went: %s\n%s", msg, got)
	}
}

func TestTextfileLeavesOwnNamesOut(t *testing.T) {
	dir := t.TempDir()
	drop(t, dir, map[string]string{"x.prom": "flussonic_cpu_usage 1\nother 1\n"})
	env := probetest.Env(t, dir)
	env.Owners = map[string]string{"flussonic_cpu_usage": "cpu"}
	p, err := newTextfile(fromYAML("directories: ["+dir+"]"), env)
	if err != nil {
		t.Fatal(err)
	}
	got, err := probetest.Collect(p)
	if err != nil || strings.Contains(got, "cpu_usage") || !strings.Contains(got, "\nother 1\n") || !strings.Contains(got, `headend_textfile_samples_dropped_total{reason="own_name"} 1`) {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestTextfileWithoutADirectory(t *testing.T) {
	for _, config := range []string{"{}", "directories: [/nonexistent/*]"} {
		p, err := build(t, "textfile", config)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := probetest.Collect(p); got != "" || err != nil {
			t.Errorf("%s: %v\n%s", config, err, got)
		}
	}
	if _, err := build(t, "textfile", "directories: ['[']"); err == nil {
		t.Error("a broken pattern is taken")
	}
}

func TestTextfileDirectoriesByPattern(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		drop(t, filepath.Join(dir, d), map[string]string{"x.prom": "from_" + d + " 1\n"})
	}
	p, err := build(t, "textfile", "directories: ['"+dir+"/*', "+dir+"/a]")
	if err != nil {
		t.Fatal(err)
	}
	got, err := probetest.Collect(p)
	if err != nil || !strings.Contains(got, "from_a 1\n") || !strings.Contains(got, "from_b 1\n") || strings.Count(got, "mtime_seconds{") != 2 {
		t.Errorf("%v\n%s", err, got)
	}
}
