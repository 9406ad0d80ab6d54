package dvb

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"headend-agent/probe"
	"headend-agent/probe/probetest"
	"headend-agent/probe/stream"
)

// mediaServer answers as a Flussonic that has these cards, and is asked by the real probe.
func mediaServer(t *testing.T, env probe.Env, name string, cards *string) (probe.Probe, func()) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path, _ := strings.CutPrefix(r.URL.Path, "/streamer/api/v3"); {
		case path == "/streams":
			fmt.Fprint(w, `{"streams":[]}`)
		case path == "/config/stats":
			fmt.Fprint(w, `{}`)
		case path == "/dvb_cards" && *cards != "":
			fmt.Fprintf(w, `{"dvb_cards":[%s]}`, *cards)
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(s.Close)
	for _, k := range stream.Kinds() {
		if k.Name == "flussonic" {
			return probetest.New(t, k, func(c any) error {
				c.(*stream.FlussonicConfig).URL, c.(*stream.FlussonicConfig).Name = s.URL, name
				return nil
			}, env), s.Close
		}
	}
	t.Fatal("no kind flussonic")
	return nil, nil
}

// A card's name is that of the configuration, else the media server's, else its number: through both probes.
func TestCardNames(t *testing.T) {
	m := newMachine(t)
	for a := range 4 {
		m.plug(a, 0, card("0000:08:00.0"), "", terrestrial())
		m.tune(a, 0)
	}
	p := m.probe(func(c any) error {
		c.(*Config).Names = map[string]string{"adapter0.frontend0": "Roof"}
		return nil
	})
	left := `{"name":"a16","hw":"dvb","adapter":0,"frontend":0,"stats":{"strength":70}},{"name":"Astra 19.2E","hw":"dvb","adapter":1,"frontend":0}`
	right := `{"name":"b1","adapter":1,"frontend":0},{"name":"b2","adapter":2,"frontend":0}`
	leftProbe, stop := mediaServer(t, p.env, "left", &left)
	rightProbe, _ := mediaServer(t, p.env, "right", &right)
	ask := func(p probe.Probe) {
		t.Helper()
		if _, err := probetest.Collect(p); err != nil {
			t.Log(err)
		}
	}
	want := func(names ...string) {
		t.Helper()
		got := m.collect(p)
		for a, name := range names {
			if line := fmt.Sprintf("flussonic_dvb_card_strength{adapter=\"%d\",frontend=\"0\",name=%q} 75\n", a, name); !strings.Contains(got, line) {
				t.Errorf("no %s in\n%s", line, got)
			}
		}
	}
	want("Roof", "adapter1.frontend0", "adapter2.frontend0", "adapter3.frontend0")
	ask(leftProbe)
	want("Roof", "Astra 19.2E", "adapter2.frontend0", "adapter3.frontend0")
	ask(rightProbe) // which is not heard about what the first one has a name for
	want("Roof", "Astra 19.2E", "b2", "adapter3.frontend0")
	left = `{"name":"a16","hw":"dvb","adapter":0,"frontend":0},{"name":"a3","hw":"dvb","adapter":3,"frontend":0}`
	ask(leftProbe)
	want("Roof", "b1", "b2", "a3")
	right = "" // it fails: that is no news of its cards
	ask(rightProbe)
	want("Roof", "b1", "b2", "a3")
	stop()
	ask(leftProbe)
	want("Roof", "b1", "b2", "a3")
}
