package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// page is what a captive portal shows.
func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, "<!DOCTYPE html><html><head><title>Hotel Bellevue</title></head><body>Please log in</body></html>")
}

// strangers answer everything, and are not the receiver.
var strangers = map[string]http.HandlerFunc{
	"page": page,
	"redirect": func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			page(w, r)
			return
		}
		http.Redirect(w, r, "/login", http.StatusTemporaryRedirect)
	},
	"text": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "you are offline") },
	"413":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) },
}

// Something comes before the receivers in the midst of a run, says to everything that all is well or too large, and
// goes away again: before one of them that has shown to know 2.0, and before one that knows 1.0 alone.
func TestStrangerBeforeTheReceiver(t *testing.T) {
	t.Parallel()
	ledgers := map[string]*ledger{}
	yaml := "global: {interval: 1s}\nbuffer: {path: %DIR%/buffer}\nremote_write:\n"
	for name := range strangers {
		for _, version := range []string{"1.0", "2.0"} {
			l := startLedger(t, func(l *ledger) { l.only1 = version == "1.0" })
			ledgers[name+" "+version] = l
			yaml += fmt.Sprintf("- {url: \"http://%s/\", name: \"%s %s\", flush_interval: 1s}\n", l.address, name, version)
		}
	}
	startAgent(t, yaml)
	for name, l := range ledgers {
		l.has(t, 2)
		stranger, _, _ := strings.Cut(name, " ")
		l.stand(strangers[stranger])
	}
	time.Sleep(15 * time.Second)
	for name, l := range ledgers {
		if n := l.requests(); n == 0 || n > 25 {
			t.Errorf("%s: %d requests in a quarter of a minute", name, n)
		}
		l.stand(nil)
	}
	for name, l := range ledgers {
		t.Run(name, func(t *testing.T) { l.everyRoundOnce(t, 1) })
	}
}
