package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"
)

const root = "../.."

// pages are all that is written for people, by the path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = string(readFile(t, file))
		}
	}
	return all
}

var (
	fenced  = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	linked  = regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"`)
)

// anchors are those that a page's headings get, as GitHub and GitLab make them.
func anchors(text string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return all
}

// Every link inside the documentation leads to a file that is there, and to a heading of it.
func TestLinks(t *testing.T) {
	all, seen := pages(t), 0
	for name, text := range all {
		for _, m := range linked.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			target, anchor, _ := strings.Cut(m[1]+m[2], "#")
			if strings.Contains(target, "://") {
				continue
			}
			seen++
			file := name
			if target != "" {
				file = filepath.Join(filepath.Dir(name), target)
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s links to %s: %v", name, target, err)
			} else if anchor != "" && !slices.Contains(anchors(all[file]), anchor) {
				t.Errorf("%s links to %s, which has no heading %s", name, file, anchor)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d links were found", seen)
	}
}

var (
	inCode   = regexp.MustCompile("`([^`\n]+)`|(?m)^    (.*)$")
	ofAgent  = regexp.MustCompile(`(?:^|[\s(;])headend-agent ([a-z][a-z-]+)(.*)`)
	aFlag    = regexp.MustCompile(`--([a-z][a-z.-]+)`)
	notAgent = []string{"apt", "dnf", "systemctl", "journalctl", "chown", "systemd-analyze", "sudo -u headend-agent"}
)

// The commands and flags of the documentation are those that the agent has.
func TestDocumentedCommands(t *testing.T) {
	help := map[string]string{}
	for _, c := range commands() {
		var out strings.Builder
		c.run([]string{"--help"}, &out, &out)
		help[c.name] = out.String()
	}
	seen := 0
	for name, text := range pages(t) {
		text = fenced.ReplaceAllStringFunc(text, func(block string) string { return strings.ReplaceAll(block, "\n", "\n    ") })
		for _, m := range inCode.FindAllStringSubmatch(text, -1) {
			line := strings.TrimPrefix(m[1]+m[2], "sudo -u headend-agent ")
			found := ofAgent.FindStringSubmatch(line)
			if found == nil || slices.ContainsFunc(notAgent, func(other string) bool { return strings.HasPrefix(line, other) }) {
				continue
			}
			seen++
			known, ok := help[found[1]]
			if !ok {
				t.Errorf("%s: there is no command %s: %s", name, found[1], line)
			}
			for _, flag := range aFlag.FindAllStringSubmatch(found[2], -1) {
				if !strings.Contains(known, "--"+flag[1]+" ") {
					t.Errorf("%s: %s has no flag --%s: %s", name, found[1], flag[1], line)
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d commands were found", seen)
	}
}

// The configurations in the documentation are valid, whole or as a file of conf.d.
func TestDocumentedConfigurations(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := 0
	check := func(name, text string) {
		var keys map[string]any
		if yaml.Unmarshal([]byte(text), &keys) != nil {
			return // a list: Ansible's
		}
		for key := range keys {
			if !slices.Contains([]string{"global", "probes", "buffer", "remote_write", "web"}, key) {
				return // another program's
			}
		}
		seen++
		file := filepath.Join(t.TempDir(), "agent.yml")
		text = regexp.MustCompile(`/etc/headend-agent/(token|[a-z]+\.pass)`).ReplaceAllString(text, secret)
		text = strings.ReplaceAll(text, "/etc/headend-agent/web.yml", `""`)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var errs strings.Builder
		if code := checkCommand([]string{"--config.file=" + file}, &errs, &errs); code != 0 {
			t.Errorf("%s: %s\n%s", name, errs.String(), text)
		}
	}
	for name, text := range pages(t) {
		for _, m := range fenced.FindAllStringSubmatch(text, -1) {
			if m[1] == "yaml" {
				check(name, m[2])
			}
		}
		for _, m := range regexp.MustCompile(`echo '(remote_write: .*)' >`).FindAllStringSubmatch(text, -1) {
			check(name, m[1])
		}
	}
	if seen < 6 {
		t.Errorf("only %d configurations were found", seen)
	}
}

// Runbook lines name alerts, pages and commands that are there.
func TestRunbooks(t *testing.T) {
	rules := shippedRules(t)
	for _, r := range rules {
		for _, other := range regexp.MustCompile(`\bHeadend[A-Za-z]+`).FindAllString(r.Annotations["runbook"], -1) {
			if !slices.ContainsFunc(rules, func(x shippedRule) bool { return x.Alert == other }) {
				t.Errorf("%s: there is no alert %s", r.Alert, other)
			}
		}
		for _, page := range regexp.MustCompile(`docs/\S+\.md(#[a-z-]+)?`).FindAllString(r.Annotations["runbook"], -1) {
			file, anchor, _ := strings.Cut(page, "#")
			if text := string(readFile(t, filepath.Join(root, file))); anchor != "" && !slices.Contains(anchors(text), anchor) {
				t.Errorf("%s: %s has no heading %s", r.Alert, file, anchor)
			}
		}
		for _, m := range regexp.MustCompile("`headend-agent ([a-z-]+)").FindAllStringSubmatch(r.Annotations["runbook"], -1) {
			if !slices.ContainsFunc(commands(), func(c command) bool { return c.name == m[1] }) {
				t.Errorf("%s: there is no command %s", r.Alert, m[1])
			}
		}
	}
}
