package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// osInfoKeys pairs the labels of node_os_info with the keys of os-release(5).
var osInfoKeys = [...][2]string{
	{"build_id", "BUILD_ID"}, {"id", "ID"}, {"id_like", "ID_LIKE"}, {"image_id", "IMAGE_ID"}, {"image_version", "IMAGE_VERSION"},
	{"name", "NAME"}, {"pretty_name", "PRETTY_NAME"}, {"variant", "VARIANT"}, {"variant_id", "VARIANT_ID"},
	{"version", "VERSION"}, {"version_codename", "VERSION_CODENAME"}, {"version_id", "VERSION_ID"},
}

var (
	osInfo = &metric.Desc{Name: "node_os_info", Help: "What os-release says about the system, always 1.", Type: metric.Gauge, Labels: osInfoLabels()}
	// The value is a number, so version 22.10 reads 22.1: the name and this habit are node_exporter's.
	osVersion = &metric.Desc{Name: "node_os_version", Help: "Major and minor version of the system as a number.", Type: metric.Gauge,
		Labels: []string{"id", "id_like", "name"}}
	osSupportEnd = &metric.Desc{Name: "node_os_support_end_timestamp_seconds", Help: "Unix time at which the system's support ends.",
		Type: metric.Gauge, Unit: metric.Seconds}
	osDescs = []*metric.Desc{osInfo, osVersion, osSupportEnd}

	majorMinor = regexp.MustCompile(`^[0-9]+\.?[0-9]*`)
)

func osInfoLabels() (ls []string) {
	for _, k := range osInfoKeys {
		ls = append(ls, k[0])
	}
	return ls
}

// osRelease reads /etc/os-release, or /usr/lib/os-release where there is none.
type osRelease struct {
	paths  [2]string
	values [len(osInfoKeys)]string
}

func newOSRelease(_ func(any) error, env probe.Env) (probe.Probe, error) {
	return &osRelease{paths: [2]string{env.RootFile("/etc/os-release"), env.RootFile("/usr/lib/os-release")}}, nil
}

func (p *osRelease) Collect(_ context.Context, out *metric.Set) error {
	text, err := os.ReadFile(p.paths[0])
	if errors.Is(err, fs.ErrNotExist) {
		text, err = os.ReadFile(p.paths[1])
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read os-release: %w", err)
	}
	env, err := parseOSRelease(string(text))
	if err != nil {
		return fmt.Errorf("parse os-release: %w", err)
	}
	for i, k := range osInfoKeys {
		p.values[i] = env[k[1]]
	}
	out.Add(osInfo, 1, p.values[:]...)
	if v, err := strconv.ParseFloat(majorMinor.FindString(env["VERSION_ID"]), 64); err == nil && v > 0 {
		out.Add(osVersion, v, env["ID"], env["ID_LIKE"], env["NAME"])
	}
	if end := env["SUPPORT_END"]; end != "" {
		t, err := time.Parse(time.DateOnly, end)
		if err != nil {
			return fmt.Errorf("parse SUPPORT_END of os-release: %w", err)
		}
		out.Add(osSupportEnd, float64(t.Unix()))
	}
	return nil
}

// parseOSRelease reads the shell-like assignments of os-release(5): one to a line, the value bare or quoted.
func parseOSRelease(text string) (map[string]string, error) {
	env := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("no assignment in %q", line)
		}
		value, err := unquoteShell(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		env[key] = value
	}
	return env, nil
}

// unquoteShell takes shell quotes, backslashes and a trailing comment off one value.
func unquoteShell(s string) (string, error) {
	var b strings.Builder
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote && quote != 0:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(s) && (quote == 0 || strings.IndexByte("\"\\$`", s[i+1]) >= 0):
			i++
			b.WriteByte(s[i])
		case quote == 0 && c == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t'):
			return strings.TrimSpace(b.String()), nil
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", errors.New("quote is not closed")
	}
	return b.String(), nil
}
