package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkConfig runs the command over a configuration; a second text goes to conf.d/more.yml.
func checkConfig(t *testing.T, texts ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "agent.yml")
	if err := os.WriteFile(file, []byte(texts[0]), 0o644); err != nil {
		t.Fatal(err)
	}
	if len(texts) > 1 {
		os.Mkdir(filepath.Join(dir, "conf.d"), 0o755)
		if err := os.WriteFile(filepath.Join(dir, "conf.d", "more.yml"), []byte(texts[1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	code = dispatch([]string{"check-config", "--config.file=" + file}, &out, &errs)
	strip := strings.NewReplacer(dir+"/", "")
	return code, strip.Replace(out.String()), strip.Replace(errs.String())
}

// A wrong configuration ends with one line for each mistake, which names file, line and remedy.
func TestWrongConfig(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "global:\n  intervall: 10s\n", `agent.yml:2: global.intervall: unknown key; did you mean "interval"?`},
		{"unknown block", "remote_wite: []\n", `agent.yml:1: remote_wite: unknown key; did you mean "remote_write"?`},
		{"wrong unit", "global:\n  interval: 10\n", `agent.yml:2: global.interval: "10" is not a duration; write a number with its unit, like 10s or 5m`},
		{"wrong unit of a size", "buffer:\n  memory: 8 apples\n", `agent.yml:2: buffer.memory: "8 apples" is not a size; write a number with its unit, like 64MiB or 256KiB`},
		{"too small a size", "buffer:\n  memory: 1KiB\n", `agent.yml: buffer.memory: 1KiB is too small`},
		{"bad url", "remote_write:\n- url: prometheus:9090\n", `agent.yml:2: remote_write[0]: url "prometheus:9090" needs http:// or https:// and a host`},
		{"no url", "remote_write:\n- name: x\n", `agent.yml:2: remote_write[0]: url is missing; give the receiver's remote-write address, like https://prometheus.example/api/v1/write`},
		{"unreadable password", "remote_write:\n- url: http://x/\n  basic_auth: {username: u, password_file: nowhere.pass}\n",
			`agent.yml:2: remote_write[0]: basic_auth.password_file: open nowhere.pass: no such file or directory; the agent's user must be able to read it`},
		{"Prometheus' own key", "remote_write:\n- url: http://x/\n  queue_config: {}\n", `agent.yml:3: remote_write[0].queue_config: known from Prometheus, but not supported here: `},
		{"unknown message", "remote_write:\n- url: http://x/\n  protobuf_message: v3\n", `agent.yml:2: remote_write[0]: protobuf_message: "v3" is not one of `},
		{"a protocol header", "remote_write:\n- url: http://x/\n  headers: {content-type: text/plain}\n", `agent.yml:2: remote_write[0]: headers: content-type is set by the protocol and cannot be changed`},
		{"a header for repeats", "remote_write:\n- url: http://x/\n  headers: {x-idempotency-key: a}\n", `agent.yml:2: remote_write[0]: headers: x-idempotency-key is set by the protocol and cannot be changed`},
		{"another way to set it", "remote_write:\n- url: http://x/\n  http_headers: {Idempotency-Key: {values: [a]}}\n", `agent.yml:2: remote_write[0]: http_headers: Idempotency-Key is set by the protocol and cannot be changed`},
		{"not built in", "remote_write:\n- url: http://x/\n  sigv4: {region: eu-central-1}\n", `agent.yml:2: remote_write[0]: sigv4: this program was built without it; the packages have it, `},
		{"two authentications", "remote_write:\n- url: http://x/\n  sigv4: {}\n  basic_auth: {username: u}\n", `agent.yml:2: remote_write[0]: sigv4 is an authentication of its own; `},
		{"unknown probe", "probes:\n  disc: {}\n", `agent.yml:2: probes.disc: there is no such probe; did you mean "disk"?`},
		{"setting of a probe without", "probes:\n  loadavg: {color: red}\n", `agent.yml:2: probes.loadavg.color: unknown key; this probe has no settings but enabled, interval and timeout`},
		{"a probe's own mistake", "probes:\n  disk: {device_exclude: '(['}\n", `agent.yml:2: probes.disk: device_exclude: error parsing regexp: `},
		{"two servers without names", "probes:\n  srs:\n  - {url: http://127.0.0.1:1985}\n  - {url: http://127.0.0.1:1986}\n",
			`agent.yml:4: probes.srs: its series would be those of `},
		{"a probe that is no mapping", "probes:\n  loadavg: yes please\n", `agent.yml:2: probes.loadavg: expected settings, like {enabled: true}`},
		{"not YAML", "global: [\n", `agent.yml: not valid YAML: `},
		{"given twice", "remote_write:\n- url: http://x/\n- url: http://x/\n", `agent.yml: remote_write[1]: two destinations are named "x"; give each a name of its own`},
		{"label name", "global:\n  external_labels: {site-name: x}\n", `agent.yml: global.external_labels.site-name: not a label name; use letters, digits and _`},
		{"unknown TLS key", "remote_write:\n- url: http://x/\n  tls_config:\n    insecure: true\n", `agent.yml:4: remote_write[0].tls_config.insecure: unknown key; `},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := checkConfig(t, c.text)
			if code != 1 || !strings.HasPrefix(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit %d, got\n%swant, in one line\n%s", code, stderr, c.want)
			}
		})
	}
}

func TestGoodConfig(t *testing.T) {
	code, stdout, stderr := checkConfig(t, `
global:
  interval: 5s
  external_labels: {site: msk-1}
probes:
  loadavg: {interval: 30s}
  memory: {enabled: false}
buffer: {memory: 4MiB}
remote_write:
- url: https://user:secret@a.example/api/v1/write
  write_relabel_configs:
  - {source_labels: [__name__], regex: "node_netstat_.*", action: drop}
`, `
remote_write:
- url: http://b.example/api/v1/write
  bearer_token: "123"
`)
	if code != 0 || stdout != "agent.yml is valid: 2 destinations\n" {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

func TestMistakesInConfDNameTheirFile(t *testing.T) {
	code, _, stderr := checkConfig(t, "global: {interval: 5s}\n", "\nweb:\n  listen: x\n")
	if want := `conf.d/more.yml:3: web.listen: unknown key; `; code != 1 || !strings.HasPrefix(stderr, want) {
		t.Errorf("exit %d, got %s", code, stderr)
	}
}

func TestUnreadableConfig(t *testing.T) {
	var out, errs bytes.Buffer
	if code := dispatch([]string{"run", "--config.file=/nonexistent/agent.yml"}, &out, &errs); code != 1 || !strings.Contains(errs.String(), "no such file; give another with --config.file") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

// A secret in a URL stays out of complaints.
func TestSecretsStayOutOfComplaints(t *testing.T) {
	for _, url := range []string{"ftp://user:s3cret@host/", "http://user:s3cret@ho st/", "http://user:s3cret@host:port/"} {
		if _, _, stderr := checkConfig(t, "remote_write:\n- url: "+url+"\n"); strings.Contains(stderr, "s3cret") || stderr == "" {
			t.Errorf("%s: %q", url, stderr)
		}
	}
}

func TestUnknownCommand(t *testing.T) {
	var out, errs bytes.Buffer
	if code := dispatch([]string{"prode"}, &out, &errs); code != 2 || !strings.Contains(errs.String(), `no command "prode"`) {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

func TestProbeCommand(t *testing.T) {
	var out, errs bytes.Buffer
	if code := dispatch([]string{"probe", "loadavg"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "# TYPE node_load1 gauge\nnode_load1 ") {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
	out.Reset()
	empty := t.TempDir()
	if code := dispatch([]string{"probe", "--path.procfs=" + empty, "loadavg"}, &out, &errs); code != 1 || !strings.Contains(errs.String(), "loadavg: read load average: ") {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
}
