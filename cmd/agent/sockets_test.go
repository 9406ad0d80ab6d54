package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// door counts the connections to a server, and who came through them.
type door struct {
	url string

	mu    sync.Mutex
	open  map[net.Conn]bool
	asked map[string]int // by the first part of the path
}

func newDoor(t *testing.T, answer http.HandlerFunc) *door {
	d := &door{open: map[net.Conn]bool{}, asked: map[string]int{}}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, r)
		d.mu.Lock()
		defer d.mu.Unlock()
		who, _, _ := strings.Cut(r.URL.Path[1:], "/")
		d.asked[who]++
	}))
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		d.mu.Lock()
		defer d.mu.Unlock()
		switch state {
		case http.StateNew:
			d.open[c] = true
		case http.StateClosed, http.StateHijacked:
			delete(d.open, c)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	d.url = s.URL
	return d
}

func (d *door) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open)
}

// everybody waits until all of these have asked something since the last call.
func (d *door) everybody(t *testing.T, names []string) {
	t.Helper()
	eventually(t, func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, name := range names {
			if d.asked[name] == 0 {
				return fmt.Errorf("nothing is asked by %s", name)
			}
		}
		clear(d.asked)
		return nil
	})
}

// Each reload makes new clients for whatever speaks HTTP. Those before must leave no connections behind.
func TestReloadsLeaveNoSockets(t *testing.T) {
	probes := []string{"scrape", "flussonic", "mediamtx", "srs", "nginx_rtmp", "tvheadend"}
	sources := newDoor(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/scrape") {
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprintln(w, "x 1")
			return
		}
		w.Write([]byte("{}"))
	})
	receivers := newDoor(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	var yaml strings.Builder
	yaml.WriteString("global: {interval: 1s}\nprobes:\n")
	for _, name := range probes {
		if name == "scrape" {
			fmt.Fprintf(&yaml, "  scrape: [{job_name: x, url: \"%s/scrape\"}]\n", sources.url)
			continue
		}
		const section = "  %s: [{url: \"%s/%s\", basic_auth: {username: a, password: b}}]\n"
		fmt.Fprintf(&yaml, section, name, sources.url, name)
	}
	const destinations = "remote_write:\n" +
		"- {url: \"%s/main\", flush_interval: 1s}\n" +
		"- {url: \"%s/live\", name: live, order: live_first}\n"
	send := fmt.Sprintf(destinations, receivers.url, receivers.url)
	r := runAgent(t, yaml.String()+send)
	const reloads = 30
	for range reloads {
		sources.everybody(t, probes)
		receivers.everybody(t, []string{"main", "live"})
		if err := r.reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sources.everybody(t, probes)
	few := func(what string, d *door, most int) {
		t.Helper()
		eventually(t, func() error {
			if n := d.count(); n > most {
				return fmt.Errorf("%d connections to %s, want at most %d", n, what, most)
			}
			return nil
		})
	}
	few("sources", sources, len(probes))
	few("receivers", receivers, 3)
	r.configure("probes: {}\n")
	if err := r.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	few("sources that are no longer configured", sources, 0)
	few("receivers that are no longer configured", receivers, 0)
}
