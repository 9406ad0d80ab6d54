package push

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestConfigNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"{}":                                                 "url is missing",
		"url: prometheus.example/api/v1/write":               "https://",
		"url: 'me:s3cret@prometheus.example'":                "https://",
		"url: ftp://prometheus.example":                      "https://",
		"url: 'http://u:s3cret@[::1'":                        "url cannot be read",
		"url: 'http://:80'":                                  "host",
		"protobuf_message: io.prometheus.write.v3":           "io.prometheus.write.v2.Request",
		"compression: gzip":                                  "snappy",
		"order: lifo":                                        "live_first",
		"on_refusal: retry":                                  "split",
		"flush_interval: -1s":                                "duration",
		"remote_timeout: 0s":                                 "remote_timeout",
		"headers: {Content-Type: text/plain}":                "Content-Type",
		"tls_config: {ca_file: /nowhere}":                    "tls_config.ca_file",
		"basic_auth: {username: a, password_file: /nowhere}": "basic_auth.password_file",
		"{bearer_token: a, basic_auth: {username: b}}":       "at most one",
		"write_relabel_configs: [{action: nonsense}]":        "nonsense",
		"{compression: zstd, protobuf_message: io.prometheus.write.v2.Request}": "zstd",
	} {
		cfg := DefaultConfig()
		cfg.URL = "http://prometheus.example/api/v1/write"
		if text == "{}" {
			cfg.URL = ""
		}
		err := yaml.Unmarshal([]byte(text), &cfg)
		if err == nil {
			err = cfg.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("url: http://u:p@x/y?z=1\nheaders: {A: b}\nprotobuf_message: auto\n")
	f.Add("url: https://x\nwrite_relabel_configs: [{source_labels: [a], target_label: b, regex: '(.*)', action: replace}]\n")
	f.Add("url: https://x\ncompression: zstd\norder: live_first\non_refusal: drop\nbacklog_bytes_per_second: 1MiB\nproxy_url: socks5://a:b@c:1\n")
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "_file") || strings.Contains(text, "files") {
			return // what a fuzzer names must not be opened
		}
		cfg := DefaultConfig()
		if yaml.Unmarshal([]byte(text), &cfg) != nil || cfg.Validate() != nil {
			return
		}
		if cfg.Destination() == "" {
			t.Errorf("a destination without a name from %q", text)
		}
		if s, err := New(cfg, newMemory(), Parts{Version: "1", Log: log}); err == nil {
			s.Status()
			s.lanes[0].client.secrets.redact("text")
			s.lanes[0].builder.build(batchOf(1, 1), s.receiver.state().proto, &limits{})
		}
	})
}
