package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad: no file makes the agent panic, and a refusal names the file.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"global: {interval: 5s, external_labels: {a: b}}\n",
		"remote_write:\n- url: http://x/\n  basic_auth: {username: u, password: p}\n  write_relabel_configs: [{regex: '.*', action: drop}]\n",
		"probes: {disk: {interval: 1m}, scrape: [{job_name: a}]}\n",
		"buffer: {size: 64MiB}\nweb: &a {listen_address: ':1'}\n",
		"a: &a [*a]\n",
		"global: *x\n",
		"? [complex]: key\n",
		"global:\n  <<: {interval: 1s}\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "agent.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(file, []string{"disk", "scrape"})
		if err != nil && !strings.Contains(err.Error(), file) {
			t.Errorf("%q: the complaint does not name the file: %v", text, err)
		}
		if (c == nil) == (err == nil) {
			t.Errorf("%q: %v, %v", text, c, err)
		}
		if c != nil {
			for i := range c.Probes {
				var into struct {
					Regex string `yaml:"regex"`
				}
				c.Probes[i].Decode(&into)
			}
		}
	})
}
