package stream

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"headend-agent/probe"
	"headend-agent/probe/probetest"
)

// fromYAML decodes strictly, as the daemon does.
func fromYAML(text string) func(any) error {
	return func(to any) error {
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		return d.Decode(to)
	}
}

func build(t testing.TB, kind, text string) (probe.Probe, error) {
	for _, k := range Kinds() {
		if k.Name == kind {
			return k.New(fromYAML(text), probetest.Env(t, "testdata"))
		}
	}
	t.Fatalf("no kind %q", kind)
	return nil, nil
}

func flussonicAt(t testing.TB, url, more string) *server {
	t.Helper()
	p, err := build(t, "flussonic", "url: "+url+"\n"+more)
	if err != nil {
		t.Fatal(err)
	}
	return p.(*server)
}
