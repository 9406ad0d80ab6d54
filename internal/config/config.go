// Package config reads the configuration file, strictly: everything that is wrong is named with its line and a remedy.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"headend-agent/buffer"
	"headend-agent/push"
)

// Config is the whole configuration.
type Config struct {
	Global      Global
	Probes      []Section
	Buffer      buffer.Config
	RemoteWrite []push.Config
	Web         Web
}

// Global is the `global:` block.
type Global struct {
	Interval       model.Duration    `yaml:"interval"`        // between the rounds of each probe; at least 1s
	ExternalLabels map[string]string `yaml:"external_labels"` // ${NAME} in values is taken from the environment
}

// Web is the `web:` block.
type Web struct {
	ListenAddress string `yaml:"listen_address"` // host:port of the agent's own pages
	ConfigFile    string `yaml:"config_file"`    // exporter-toolkit's: TLS and basic authentication
}

// Section is what the file says of one probe, or of one target of it.
type Section struct {
	Kind     string
	Enabled  bool
	Interval time.Duration // 0: the global one
	Timeout  time.Duration // 0: as the runner decides

	file string
	node *yaml.Node // without the keys above; nil when nothing is left
	read bool
}

// document is one file.
type document struct {
	Global      yaml.Node            `yaml:"global"`
	Probes      map[string]yaml.Node `yaml:"probes"`
	Buffer      yaml.Node            `yaml:"buffer"`
	RemoteWrite []yaml.Node          `yaml:"remote_write"`
	Web         yaml.Node            `yaml:"web"`
}

// common are the keys that every probe has.
type common struct {
	Enabled  *bool          `yaml:"enabled"`
	Interval model.Duration `yaml:"interval"`
	Timeout  model.Duration `yaml:"timeout"`
}

// Default is the configuration without any file.
func Default() *Config {
	return &Config{
		Global: Global{Interval: model.Duration(10 * time.Second)},
		Buffer: buffer.DefaultConfig(),
		Web:    Web{ListenAddress: "127.0.0.1:9105"},
	}
}

// Load reads a file and, in the order of their names, conf.d/*.yml beside it: later scalars win, lists are joined. kinds are
// the probes that there are. The error names every problem, one a line.
func Load(path string, kinds []string) (*Config, error) {
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "conf.d", "*.yml"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	c := Default()
	var problems Mistakes
	for _, file := range append([]string{path}, files...) {
		found, err := c.load(file, kinds)
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			problems = append(problems, fmt.Sprintf("%s:%d: %s", file, p.line, p.text))
		}
	}
	if len(problems) == 0 {
		problems = c.validate(path)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// load merges one file in.
func (c *Config) load(file string, kinds []string) ([]problem, error) {
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: there is no such file; give another with --config.file", file)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: may not be read by user %d; make it readable, or run as another user", file, os.Getuid())
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("%s: not valid YAML: %s", file, plain(err))
	}
	if len(root.Content) == 0 {
		return nil, nil
	}
	var d document
	problems := decode(root.Content[0], &d, "", nil)
	if len(problems) > 0 {
		return problems, nil
	}
	problems = append(problems, decode(&d.Global, &c.Global, "global", nil)...)
	problems = append(problems, decode(&d.Buffer, &c.Buffer, "buffer", nil)...)
	problems = append(problems, decode(&d.Web, &c.Web, "web", nil)...)
	for name, n := range d.Probes {
		problems = append(problems, c.addProbe(file, name, n, kinds)...)
	}
	dir := filepath.Dir(file)
	for i := range d.RemoteWrite {
		n := &d.RemoteWrite[i]
		at := fmt.Sprintf("remote_write[%d]", len(c.RemoteWrite))
		rw := push.DefaultConfig()
		found := decode(n, &rw, at, push.Unsupported)
		if len(found) == 0 {
			rw.HTTP.SetDirectory(dir)
			if err := rw.Validate(); err != nil {
				found = []problem{{n.Line, at + ": " + err.Error()}}
			}
		}
		problems = append(problems, found...)
		c.RemoteWrite = append(c.RemoteWrite, rw)
	}
	slices.SortStableFunc(problems, func(a, b problem) int { return a.line - b.line })
	return problems, nil
}

// addProbe takes one entry of `probes:`: a mapping, or a list of them, one for each target.
func (c *Config) addProbe(file, name string, n yaml.Node, kinds []string) []problem {
	if !slices.Contains(kinds, name) {
		known := map[string]bool{}
		for _, k := range kinds {
			known[k] = true
		}
		return []problem{{n.Line, fmt.Sprintf("probes.%s: there is no such probe; %s", name, suggest(name, known))}}
	}
	items := []*yaml.Node{&n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	var problems []problem
	for i, item := range items {
		path := "probes." + name
		if n.Kind == yaml.SequenceNode {
			path = fmt.Sprintf("%s[%d]", path, i)
		}
		if item.Kind != yaml.MappingNode && item.Tag != "!!null" {
			problems = append(problems, problem{item.Line, path + ": expected settings, like {enabled: true}"})
			continue
		}
		rest, own := split(item)
		var common common
		problems = append(problems, decode(own, &common, path, nil)...)
		c.Probes = append(c.Probes, Section{
			Kind: name, Enabled: common.Enabled == nil || *common.Enabled,
			Interval: time.Duration(common.Interval), Timeout: time.Duration(common.Timeout), file: file, node: rest,
		})
	}
	return problems
}

// split parts the keys that every probe has from those of the probe.
func split(n *yaml.Node) (rest, own *yaml.Node) {
	r, o := *n, *n
	r.Content, o.Content = nil, nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch n.Content[i].Value {
		case "enabled", "interval", "timeout":
			o.Content = append(o.Content, n.Content[i:i+2]...)
		default:
			r.Content = append(r.Content, n.Content[i:i+2]...)
		}
	}
	return &r, &o
}

// Decode fills a probe's configuration struct. It is what probe.Kind.New gets. A struct with files of its own has a method
// SetDirectory, as Prometheus' have, which makes relative paths start beside the configuration.
func (s *Section) Decode(into any) error {
	s.read = true
	var lines Mistakes
	for _, p := range decode(s.node, into, "probes."+s.Kind, nil) {
		lines = append(lines, fmt.Sprintf("%s:%d: %s", s.file, p.line, p.text))
	}
	if len(lines) > 0 {
		return lines
	}
	if d, ok := into.(interface{ SetDirectory(string) }); ok {
		d.SetDirectory(filepath.Dir(s.file))
	}
	return nil
}

// Mistakes are things wrong with the configuration, each with its place.
type Mistakes []string

func (m Mistakes) Error() string { return strings.Join(m, "\n") }

// Place adds the section's place to an error that does not have one.
func (s *Section) Place(err error) error {
	if errors.As(err, new(Mistakes)) {
		return err
	}
	return fmt.Errorf("%s: %w", s.Where(), err)
}

// Unread complains about settings that the probe did not ask for.
func (s *Section) Unread() error {
	if s.read || len(s.node.Content) == 0 {
		return nil
	}
	return Mistakes{fmt.Sprintf("%s:%d: probes.%s.%s: unknown key; this probe has no settings but enabled, interval and timeout",
		s.file, s.node.Content[0].Line, s.Kind, s.node.Content[0].Value)}
}

// Where names the place of the section, for complaints about its content.
func (s *Section) Where() string { return fmt.Sprintf("%s:%d: probes.%s", s.file, s.node.Line, s.Kind) }

// validate checks what no single value shows.
func (c *Config) validate(path string) Mistakes {
	var problems Mistakes
	add := func(format string, args ...any) { problems = append(problems, path+": "+fmt.Sprintf(format, args...)) }
	if c.Global.Interval < model.Duration(time.Second) {
		add("global.interval: %s is shorter than 1s, the least that is useful", c.Global.Interval)
	}
	for name := range c.Global.ExternalLabels {
		if !model.LegacyValidation.IsValidLabelName(name) || name == model.MetricNameLabel { // __replica__ is Mimir's
			add("global.external_labels.%s: not a label name; use letters, digits and _", name)
		}
	}
	if err := c.Buffer.Validate(); err != nil {
		add("buffer.%v", err)
	}
	seen := map[string]bool{}
	for i, rw := range c.RemoteWrite {
		if seen[rw.Destination()] {
			add("remote_write[%d]: two destinations are named %q; give each a name of its own", i, rw.Destination())
		}
		seen[rw.Destination()] = true
	}
	return problems
}

// NoSection stands for a probe that the file does not mention.
func NoSection(kind string) *Section {
	return &Section{Kind: kind, Enabled: true, node: &yaml.Node{}}
}
