package main

import (
	"bytes"
	"encoding"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"headend-agent/internal/config"
	"headend-agent/probe"
	"headend-agent/push"
)

const configurationIntro = `# Configuration

Generated from the structs by ` + "`make docs`" + `; a test holds it to them. The file is YAML, ` + "`/etc/headend-agent/agent.yml`" + ` unless
` + "`--config.file`" + ` names another; ` + "`conf.d/*.yml`" + ` beside it is merged in, in the order of the names. Every key is optional. Durations are
written like 10s or 5m, sizes like 64MiB. ` + "`headend-agent check-config`" + ` names each mistake with its line; a reload (` + "`systemctl reload headend-agent`" + `)
with a wrong file leaves the old configuration in force.

Where a table says "Prometheus' HTTP client", these keys of Prometheus' own configuration may stand in the same place: ` + "`basic_auth`, `authorization`,\n`oauth2`, `tls_config`, `proxy_url`, `proxy_from_environment`, `no_proxy`, `proxy_connect_header`, `follow_redirects`, `enable_http2`, `http_headers`" + `.
Secrets have a form that reads a file, like ` + "`password_file`" + `; a relative path starts beside the configuration.
`

// configurationPage writes the reference.
func configurationPage() []byte {
	var b bytes.Buffer
	d := describer{out: &b, comments: map[string]map[string]string{}}
	b.WriteString(configurationIntro)
	c := config.Default()
	d.section("global", "", c.Global)
	d.section("buffer", "", c.Buffer)
	d.section("remote_write", "A list; each entry is a destination. The names are Prometheus' own where Prometheus has them.", push.DefaultConfig())
	d.section("remote_write.sigv4", "In the packages; a build of your own needs `-tags sigv4`. What is empty is looked for in the environment, the shared files of Amazon's\ntools (`AWS_SHARED_CREDENTIALS_FILE`) and the machine's own role, in this order.", push.SigV4{})
	b.WriteString("\nKnown from Prometheus, and not here:\n\n")
	for _, key := range slices.Sorted(maps.Keys(push.Unsupported)) {
		fmt.Fprintf(&b, "- `%s`: %s\n", key, push.Unsupported[key])
	}
	d.section("web", "", c.Web)
	b.WriteString("\n## probes\n\nEach probe that finds something to read runs by itself; `NAME: {enabled: false}` turns it off. Each takes `enabled`, `interval` (the global one unless\nset) and `timeout` (of one run; nine tenths of the interval, at most 10s, unless set). One that can read several targets takes a list, an entry for each.\n")
	var plain []string
	for _, k := range kinds() {
		settings := captured(k)
		if settings == nil {
			plain = append(plain, "`"+k.Name+"`")
			continue
		}
		d.section("probes."+k.Name, "", settings)
	}
	fmt.Fprintf(&b, "\n### Without settings of their own\n\n%s, `%s`.\n", strings.Join(plain, ", "), selfKind)
	return b.Bytes()
}

// captured returns the configuration struct of a probe with its defaults, nil where it has none.
func captured(k probe.Kind) (settings any) {
	decode := func(into any) error {
		settings = reflect.ValueOf(into).Elem().Interface()
		return nil
	}
	k.New(decode, probe.Env{Proc: "/proc", Sys: "/sys", Root: "/", Dev: "/dev", Log: slog.New(slog.DiscardHandler)})
	return settings
}

type describer struct {
	out      *bytes.Buffer
	comments map[string]map[string]string // of fields, by package and by type.field
}

func (d *describer) section(name, text string, v any) {
	level := "##"
	if strings.Contains(name, ".") {
		level = "###"
	}
	fmt.Fprintf(d.out, "\n%s %s\n\n", level, name)
	if text != "" {
		fmt.Fprintf(d.out, "%s\n\n", text)
	}
	d.out.WriteString("| key | default | meaning |\n| --- | --- | --- |\n")
	d.fields(reflect.ValueOf(v))
}

func (d *describer) fields(v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case key == "-" || !f.IsExported():
			continue
		case strings.Contains(options, "inline") && strings.HasPrefix(f.Type.PkgPath(), "headend-agent/"):
			d.fields(v.Field(i))
			continue
		case strings.Contains(options, "inline"):
			d.out.WriteString("| | | Prometheus' HTTP client |\n")
			continue
		}
		fmt.Fprintf(d.out, "| `%s` | %s | %s |\n", key, value(v.Field(i)), d.comment(t, f.Name))
	}
}

// value writes a default, nothing for one that is empty.
func value(v reflect.Value) string {
	if v.IsZero() && v.Kind() != reflect.Bool {
		return ""
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	text := fmt.Sprint(v.Interface())
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		if b, err := m.MarshalText(); err == nil {
			text = string(b)
		}
	}
	if text == "" || text == "[]" || text == "map[]" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

// comment finds what the source says of a field.
func (d *describer) comment(t reflect.Type, field string) string {
	dir := "../../" + strings.TrimPrefix(t.PkgPath(), "headend-agent/")
	if d.comments[dir] == nil {
		d.comments[dir] = map[string]string{}
		files, _ := filepath.Glob(dir + "/*.go")
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err == nil {
				ast.Inspect(parsed, func(n ast.Node) bool { return d.note(dir, n) })
			}
		}
	}
	return d.comments[dir][t.Name()+"."+field]
}

func (d *describer) note(dir string, n ast.Node) bool {
	spec, ok := n.(*ast.TypeSpec)
	if !ok {
		return true
	}
	if s, ok := spec.Type.(*ast.StructType); ok {
		for _, f := range s.Fields.List {
			text := strings.TrimSpace(f.Comment.Text())
			if text == "" {
				text = strings.TrimSpace(f.Doc.Text())
			}
			for _, name := range f.Names {
				d.comments[dir][spec.Name.Name+"."+name.Name] = strings.ReplaceAll(strings.ReplaceAll(text, "\n", " "), "|", `\|`)
			}
		}
	}
	return true
}

// docs/configuration.md says what the structs say.
func TestConfigurationPage(t *testing.T) {
	const path = "../../docs/configuration.md"
	want := configurationPage()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/configuration.md is not what the structs say (%v): `make docs` writes it anew", err)
	}
	if m := regexp.MustCompile("(?m)^\\| `.*\\| +\\|$").FindAll(want, -1); m != nil {
		t.Errorf("keys without a meaning; a comment beside the field gives it:\n%s", bytes.Join(m, []byte("\n")))
	}
	for _, key := range []string{"interval", "external_labels", "commit_interval", "backlog_bytes_per_second", "listen_address", "job_name", "mount_points_exclude"} {
		if !bytes.Contains(want, []byte("| `"+key+"` |")) {
			t.Errorf("%s is not in it", key)
		}
	}
}
