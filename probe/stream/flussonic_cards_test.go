package stream

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"headend-agent/probe"
)

// cardServer is a Flussonic whose list of cards answers with a status and a body.
type cardServer struct {
	*httptest.Server
	status int
	body   string
}

func newCardServer(t *testing.T) *cardServer {
	c := &cardServer{status: 200}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/dvb_cards") {
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
			return
		}
		fmt.Fprint(w, `{"streams":[]}`)
	}))
	t.Cleanup(c.Close)
	return c
}

func TestFlussonicCardNames(t *testing.T) {
	c := newCardServer(t)
	s := flussonicAt(t, c.URL, "name: left")
	tuners := s.api.(*flussonic).tuners
	long := strings.Repeat("x", 2*nameLimit)
	all := map[probe.Tuner]string{{Adapter: 0}: "a0", {Adapter: 12, Frontend: 1}: cutName(long), {Adapter: 5}: "no hardware told"}
	for _, step := range []struct {
		name   string
		status int
		cards  string
		want   map[probe.Tuner]string
	}{
		{"names", 200, `{"dvb_cards":[{"name":"a0","hw":"dvb","adapter":0,"frontend":0,"stats":{"strength":50}},{"name":"second","hw":"dvb","adapter":0,"frontend":0},
			{"name":"` + long + `","hw":"dvb","adapter":12,"frontend":1},{"name":"no hardware told","hw":null,"adapter":5,"frontend":0},
			{"name":"off","disabled":true,"hw":"dvb","adapter":1,"frontend":0},{"name":"asi","hw":"dektec_asi","adapter":2,"frontend":0,"stats":{"strength":60}},
			{"name":"which","hw":"dvb","adapter":3},{"name":"half","hw":"dvb","adapter":1.5,"frontend":0},{"name":"minus","hw":"dvb","adapter":-1,"frontend":0}]}`, all},
		{"cut short", 200, `{"dvb_cards":[{"name":"other","adapter":0,"frontend":0},`, all},
		{"failure", 500, ``, all},
		{"gone", 200, `{"dvb_cards":[{"name":"a0","hw":"dvb","adapter":0,"frontend":0}]}`, map[probe.Tuner]string{{}: "a0"}},
		{"no list any more", 404, ``, nil},
	} {
		c.status, c.body = step.status, step.cards
		got, _ := readings(t, s)
		if !maps.Equal(tuners.Of("left"), step.want) {
			t.Errorf("%s: %v", step.name, tuners.Of("left"))
		}
		if step.name != "names" {
			continue
		}
		// Numbers of other hardware are not those of Linux' adapters.
		for series, want := range map[string]float64{
			`headend_server_dvb_strength_ratio{adapter="0",card="a0",frontend="0",server="left"}`: 0.5,
			`headend_server_dvb_strength_ratio{card="asi",server="left"}`:                         0.6,
		} {
			if v, ok := got[series]; !ok || v != want {
				t.Errorf("%s is %v, %v", series, v, ok)
			}
		}
	}
}

// Another machine's cards are not called to be this one's.
func TestFlussonicCardNamesOfAnotherMachine(t *testing.T) {
	f := &fakeFlussonic{generation: "25", streams: streams25(), server: server25(), cards: []object{{"name": "far", "adapter": 0, "frontend": 0, "stats": object{"strength": 1}}}}
	s := flussonicOver(t, f, "") // over no connection of this machine's
	if got, err := readings(t, s); err != nil || count(got, "headend_server_dvb_strength_ratio") != 1 {
		t.Fatal(got, err)
	}
	if names := s.api.(*flussonic).tuners.Of("flussonic"); len(names) != 0 {
		t.Error(names)
	}
	for _, c := range []struct {
		from, to string
		same     bool
	}{
		{"127.0.0.1", "127.0.0.1", true}, {"127.0.0.1", "127.0.1.1", true}, {"::1", "::1", true}, {"10.0.0.5", "10.0.0.5", true},
		{"10.0.0.5", "10.0.0.6", false}, {"fe80::1", "fe80::2", false}, {"192.168.1.2", "203.0.113.1", false},
	} {
		conn := ends{nil, &net.TCPAddr{IP: net.ParseIP(c.from)}, &net.TCPAddr{IP: net.ParseIP(c.to)}}
		if sameMachine(conn) != c.same {
			t.Errorf("%s to %s is the same machine: %v", c.from, c.to, !c.same)
		}
	}
	if sameMachine(ends{nil, &net.UnixAddr{}, &net.UnixAddr{}}) {
		t.Error("an address of an unknown kind is of this machine")
	}
}

// ends is a connection of which only the addresses are asked for.
type ends struct {
	net.Conn
	from, to net.Addr
}

func (e ends) LocalAddr() net.Addr  { return e.from }
func (e ends) RemoteAddr() net.Addr { return e.to }

func TestFlussonicCardNamesOverReload(t *testing.T) {
	c := newCardServer(t)
	c.body = `{"dvb_cards":[{"name":"a0","hw":"dvb","adapter":0,"frontend":0}]}`
	before := flussonicAt(t, c.URL, "")
	if _, err := readings(t, before); err != nil {
		t.Fatal(err)
	}
	after := flussonicAt(t, c.URL, "name: left")
	var heir probe.Heir = after
	heir.Inherit(before)
	tuners := after.api.(*flussonic).tuners
	if name := tuners.Name(probe.Tuner{}); name != "a0" {
		t.Errorf("before the first run the name is %q", name)
	}
	c.body = `{"dvb_cards":[]}` // and under its new name the server can take it back
	if _, err := readings(t, after); err != nil || tuners.Name(probe.Tuner{}) != "" {
		t.Error(tuners.Name(probe.Tuner{}), err)
	}
	other, err := build(t, "srs", "url: "+c.URL)
	if err != nil {
		t.Fatal(err)
	}
	other.(probe.Heir).Inherit(before) // nothing to take over, and no harm
}
