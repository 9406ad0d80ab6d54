package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"headend-agent/internal/config"
	"headend-agent/internal/receiver"
)

// diagnose runs doctor on a configuration.
func diagnose(t *testing.T, yaml string, flags ...string) (all []finding, code int) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "agent.yml")
	if err := os.WriteFile(file, []byte("buffer: {path: "+dir+"/buffer}\n"+yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = doctorCommand(append([]string{"--config.file=" + file, "--json", "--web.listen-address=127.0.0.1:1"}, flags...), &out, &errs)
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		t.Fatalf("%v: %s%s", err, out.String(), errs.String())
	}
	for _, f := range all {
		if f.Level != levelOK && f.Remedy == "" {
			t.Errorf("no remedy for %v", f)
		}
	}
	return all, code
}

// of returns the finding of a check.
func of(t *testing.T, all []finding, check string) finding {
	t.Helper()
	i := slices.IndexFunc(all, func(f finding) bool { return f.Check == check })
	if i < 0 {
		t.Fatalf("no finding of %q in %v", check, all)
	}
	return all[i]
}

func TestDoctorOfDestinations(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Type", "text/html")
	}))
	t.Cleanup(page.Close)
	answering := func(status int, body string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}))
		t.Cleanup(s.Close)
		return s
	}
	secure := httptest.NewTLSServer(&receiver.Receiver{})
	t.Cleanup(secure.Close)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are refused
	good := httptest.NewServer(&receiver.Receiver{})
	t.Cleanup(good.Close)
	for _, c := range []struct {
		what, url, extra, check, level, found, remedy string
	}{
		{"good", good.URL, "", "d: write", levelOK, "HTTP 20", ""},
		{"password", answering(401, "who are you").URL, "", "d: write", levelFail, "HTTP 401 within", "basic_auth"},
		{"tenant", answering(403, "").URL, "", "d: write", levelFail, "HTTP 403", "X-Scope-OrgID"},
		{"path", answering(404, "404 page not found").URL, "", "d: write", levelFail, "404 page not found", "--web.enable-remote-write-receiver"},
		{"broken", answering(503, "later").URL, "", "d: write", levelWarn, "later", "kept"},
		{"picky", answering(400, "empty").URL, "", "d: write", levelWarn, "does not like an empty write", ""},
		{"HTTPS port", "http" + strings.TrimPrefix(secure.URL, "https"), "", "d: write", levelFail, "HTTP 400", "https://"},
		{"portal", answering(200, "\n<!DOCTYPE html><title>log in</title>").URL, "", "d: write", levelFail, "with a web page", "captive portal"},
		{"portal by its type", page.URL, "", "d: write", levelFail, "with a web page", "captive portal"},
		{"portal behind a redirect", page.URL + "/moved", "", "d: write", levelFail, "with a web page", "captive portal"},
		{"portal in plain text", answering(200, "Welcome!").URL, "", "d: write", levelWarn, "with a text: Welcome!", "portal"},
		{"nginx's page of an error", answering(502, "<html>Bad Gateway</html>").URL, "", "d: write", levelWarn, "Bad Gateway", "kept"},
		{"redirect", redirecting(t, http.StatusFound).URL, "", "d: write", levelFail, "/there", "redirects to"},
		{"redirect that may be followed", redirecting(t, http.StatusPermanentRedirect).URL, "", "d: write", levelOK, "HTTP 204", ""},
		{"closed", "http://127.0.0.1:1/write", "", "d: connection", levelFail, "connection refused", "port"},
		{"authority", secure.URL, "", "d: TLS", levelFail, "certificate", "ca_file"},
		{"trusted", secure.URL, "tls_config: {insecure_skip_verify: true}", "d: TLS", levelOK, "TLS 1.3; the certificate is valid until", ""},
		{"no TLS there", "https://" + strings.TrimPrefix(good.URL, "http://"), "", "d: TLS", levelFail, "", "http://"},
	} {
		all, code := diagnose(t, "remote_write:\n- name: d\n  url: "+c.url+"\n  "+c.extra+"\n")
		f := of(t, all, c.check)
		if f.Level != c.level || !strings.Contains(f.Found, c.found) || !strings.Contains(f.Remedy, c.remedy) {
			t.Errorf("%s: %+v", c.what, f)
		}
		if failed := slices.ContainsFunc(all, func(f finding) bool { return f.Level == levelFail }); (code == 1) != failed {
			t.Errorf("%s: exit code %d with %v", c.what, code, all)
		}
	}
}

// redirecting sends the first request to itself.
func redirecting(t *testing.T, status int) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/there" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		http.Redirect(w, r, "/there", status)
	}))
	t.Cleanup(s.Close)
	return s
}

// A clock that is off shows in the answer; a secret of the URL shows nowhere.
func TestDoctorClockAndSecrets(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
	}))
	defer s.Close()
	all, _ := diagnose(t, "remote_write: [{name: d, url: \""+s.URL+"\"}]\n")
	if f := of(t, all, "d: clock"); f.Level != levelWarn || !strings.Contains(f.Found, "h0m") && !strings.Contains(f.Found, "59m") {
		t.Errorf("%+v", f)
	}
	all, _ = diagnose(t, "remote_write: [{name: d, url: \"http://user:hidden1@127.0.0.1:1/hidden2?token=hidden3\"}]\n")
	if text := fmt.Sprint(all); strings.Contains(text, "hidden") {
		t.Errorf("a secret is shown: %s", text)
	}
}

func TestDoctorOfMediaServer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer s.Close()
	all, code := diagnose(t, "probes: {flussonic: [{url: \""+s.URL+"\"}]}\n")
	i := slices.IndexFunc(all, func(f finding) bool { return strings.HasPrefix(f.Check, "flussonic ") })
	if code != 1 || i < 0 || all[i].Level != levelFail || !strings.Contains(all[i].Remedy, "view_auth") {
		t.Errorf("exit code %d, %v", code, all)
	}
	if f := of(t, all, "destinations"); f.Level != levelWarn {
		t.Errorf("%+v", f)
	}
}

// Where no GPU is wanted, or there is none, that is told, and nothing wrong.
func TestDoctorWithoutGPU(t *testing.T) {
	all, _ := diagnose(t, "probes: {gpu_nvidia: {enabled: false}}\n", "--path.sysfs="+t.TempDir())
	if f := of(t, all, "gpu"); f.Level != levelOK || f.Found != "gpu_nvidia is switched off in the configuration" {
		t.Errorf("%+v", f)
	}
	if _, err := os.Stat("/dev/nvidiactl"); err == nil {
		t.Skip("this machine has a GPU")
	}
	all, _ = diagnose(t, "", "--path.sysfs="+t.TempDir())
	if f := of(t, all, "gpu"); f.Level != levelOK || !strings.Contains(f.Found, "PCI bus") {
		t.Errorf("%+v", f)
	}
}

func TestDoctorOfConfiguration(t *testing.T) {
	all, code := diagnose(t, "nonsense: 1\n")
	if f := of(t, all, "configuration"); code != 1 || f.Level != levelFail || !strings.Contains(f.Found, "nonsense") {
		t.Errorf("exit code %d, %+v", code, f)
	}
}

func TestDoctorOfMachine(t *testing.T) {
	cfg := config.Default()
	for name, level := range map[string]string{"edge-7": levelOK, "localhost": levelWarn, "debian.example": levelWarn, "": levelWarn} {
		if f := hostName(name, cfg); f.Level != level {
			t.Errorf("%q: %+v", name, f)
		}
	}
	cfg.Global.ExternalLabels = map[string]string{"instance": "edge-7"}
	if f := hostName("localhost", cfg); f.Level != levelOK {
		t.Errorf("with a label of its own: %+v", f)
	}
	if f := clockFinding(time.Unix(0, 0)); f.Level != levelFail || !strings.Contains(f.Found, "1970") {
		t.Errorf("%+v", f)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if f := bufferDisk(file+"/buffer", 1)[0]; f.Level != levelFail {
		t.Errorf("below a file: %+v", f)
	}
	if f := bufferDisk(filepath.Join(t.TempDir(), "a", "b"), 1)[0]; f.Level == levelFail {
		t.Errorf("a directory that the agent will make: %+v", f)
	}
	if f := bufferDisk(t.TempDir(), 1<<60)[0]; f.Level != levelWarn || !strings.Contains(f.Found, "room for") {
		t.Errorf("too large a ring: %+v", f)
	}
}

// Neither does the status page show them.
func TestBareURL(t *testing.T) {
	if got := bareURL("https://user:hidden@prometheus.example:9090/hidden/api/v1/write?token=hidden"); got != "https://prometheus.example:9090" {
		t.Error(got)
	}
}

// What helps depends on what is wrong, by the words of real errors.
func TestDoctorRemedies(t *testing.T) {
	for text, want := range map[string]string{
		"ask http://127.0.0.1/streamer/api/v3/streams: HTTP status 401 Unauthorized: user name or password is missing or wrong": "view_auth",
		"ask http://127.0.0.1/x: HTTP status 404 Not Found":                                                                     "port of the server's API",
		"answers HTML, not JSON":                                                        "port of the server's API",
		"dial tcp 127.0.0.1:80: connect: connection refused":                            "start the server",
		"dial tcp: lookup flussonic.lan: no such host":                                  "getent hosts",
		"open /dev/dvb/adapter0/frontend0: permission denied":                           "sudo -u headend-agent",
		"did not answer in time":                                                        "timeout",
		"tls: failed to verify certificate: x509: certificate has expired":              "renew",
		"tls: failed to verify certificate: x509: certificate signed by unknown author": "ca_file",
		"anything else": "headend-agent probe flussonic",
	} {
		if got := remedy("flussonic", text); !strings.Contains(got, want) {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// A machine without devices is well, one with a silent device is not.
func TestDoctorOfDevices(t *testing.T) {
	for _, c := range []struct {
		r    result
		want string
	}{
		{result{absent: []string{"no driver"}}, "ok"},
		{result{devices: 2}, "ok"},
		{result{devices: 2, absent: []string{"adapter 1: not in use, so it is left alone"}}, "ok ok"},
		{result{devices: 2, absent: []string{"adapter 1: in use, but without a lock; check its cable"}}, "ok warn"},
		{result{devices: 2, silent: []string{"GPU 1"}}, "fail ok"},
		{result{devices: 2, silent: []string{"adapter1"}, absent: []string{"adapter0: no lock; check", "adapter1: not allowed; join"}}, "fail ok warn"},
	} {
		var levels []string
		for _, f := range c.r.hardware("gpu") {
			levels = append(levels, f.Level)
		}
		if got := strings.Join(levels, " "); got != c.want {
			t.Errorf("%+v: %s", c.r, got)
		}
	}
	f := result{devices: 1, silent: []string{"adapter1"}, absent: []string{"adapter1: not allowed; join the group"}}.hardware("dvb")[0]
	if f.Found != "adapter1: not allowed" || f.Remedy != "join the group" {
		t.Errorf("%+v", f)
	}
}

// The table is for people.
func TestDoctorTable(t *testing.T) {
	var out bytes.Buffer
	printFindings(&out, []finding{fine("a", "x"), warn("long name", "do this", "y\nz"), fail("c", "do that", "w")})
	const want = "ok    a          x\nwarn  long name  y\n                 z\n                 → do this\nfail  c          w\n                 → do that\n\n1 ok, 1 warn, 1 fail\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// An answer that repeats what it was sent shows no secret, neither to people nor to programs.
func TestDoctorShowsNoSecrets(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, "no such user: %s, %s, %s", r.Header.Get("Authorization"), password, r.Header.Get("X-Token"))
	}))
	defer receiver.Close()
	all, _ := diagnose(t, "remote_write: [{name: d, url: \""+receiver.URL+"\", basic_auth: {username: u, password: hunter22}, headers: {X-Token: sesame99}}]\n")
	found := false
	for _, f := range all {
		text := fmt.Sprint(f)
		found = found || strings.Contains(text, "no such user")
		for _, secret := range []string{"hunter22", "sesame99", base64.StdEncoding.EncodeToString([]byte("u:hunter22"))} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
	}
	if !found {
		t.Errorf("the receiver's words are not there: %v", all)
	}
}
