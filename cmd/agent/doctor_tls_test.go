package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"headend-agent/internal/receiver"
)

// secured is a receiver with a certificate of its own, which is in the file that it returns.
func secured(t *testing.T, name string, from, to time.Time, auth tls.ClientAuthType) (address, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(&receiver.Receiver{})
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, ClientAuth: auth}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, file
}

// Each way in which TLS can fail is told by its name.
func TestDoctorOfCertificates(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		what, name          string
		from, to            time.Duration
		auth                tls.ClientAuthType
		level, found, helps string
	}{
		{"good", "127.0.0.1", -time.Hour, 1000 * time.Hour, tls.NoClientCert, levelOK, "valid until", ""},
		{"ends soon", "127.0.0.1", -time.Hour, time.Hour, tls.NoClientCert, levelWarn, "the certificate ends", "renew"},
		{"expired", "127.0.0.1", -2 * time.Hour, -time.Hour, tls.NoClientCert, levelFail, "the certificate has expired on", "renew"},
		{"our clock", "127.0.0.1", time.Hour, 2 * time.Hour, tls.NoClientCert, levelFail, "the certificate is valid from", "clock is wrong"},
		{"name", "other.example", -time.Hour, 1000 * time.Hour, tls.NoClientCert, levelFail, "for another name", "server_name"},
		{"client certificate", "127.0.0.1", -time.Hour, 1000 * time.Hour, tls.RequireAnyClientCert, levelFail, "", "cert_file"}, // its alert may come too late to be read
	} {
		address, file := secured(t, c.name, now.Add(c.from), now.Add(c.to), c.auth)
		all, _ := diagnose(t, "remote_write: [{name: d, url: \""+address+"\", tls_config: {ca_file: "+file+"}}]\n")
		worst := finding{}
		for _, f := range all {
			if f.Check == "d: TLS" && worst.Level != levelFail || f.Check == "d: connection" && f.Level == levelFail {
				worst = f
			}
		}
		if worst.Level != c.level || !strings.Contains(worst.Found, c.found) || !strings.Contains(worst.Remedy, c.helps) {
			t.Errorf("%s: %+v", c.what, worst)
		}
	}
}

// A certificate of our own that ends is told before it has.
func TestDoctorOfOwnCertificates(t *testing.T) {
	address, file := secured(t, "127.0.0.1", time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour), tls.NoClientCert)
	all, _ := diagnose(t, "remote_write: [{name: d, url: \""+address+"\", tls_config: {ca_file: "+file+"}}]\n")
	if f := of(t, all, "d: files"); f.Level != levelWarn || !strings.Contains(f.Found, "tls_config.ca_file: the certificate of") {
		t.Errorf("%+v", f)
	}
}

// A proxy that refuses is named, without what is secret in its address.
func TestDoctorOfProxies(t *testing.T) {
	refusing := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(s.Close)
		return strings.Replace(s.URL, "://", "://user:hidden@", 1)
	}
	for _, c := range []struct{ proxy, to, check, found, helps string }{
		{refusing(407), "https://prometheus.example/w", "d: proxy", "Proxy Authentication Required", "user and password"},
		{refusing(403), "https://prometheus.example/w", "d: proxy", "Forbidden", "proxy_url"},
		{refusing(407), "http://prometheus.example/w", "d: write", "HTTP 407", "proxy_url"},
		{"http://user:hidden@127.0.0.1:1", "https://prometheus.example/w", "d: proxy", "connection refused", "proxy_url"},
		{"http://user:hidden@127.0.0.1:1", "http://prometheus.example/w", "d: proxy", "connection refused", "proxy_url"},
	} {
		all, code := diagnose(t, "remote_write: [{name: d, url: \""+c.to+"\", proxy_url: \""+c.proxy+"\"}]\n")
		f := of(t, all, c.check)
		if f.Level != levelFail || code != 1 || !strings.Contains(f.Found, c.found) || !strings.Contains(f.Remedy, c.helps) || strings.Contains(fmt.Sprint(all), "hidden") {
			t.Errorf("%s by %s: %+v", c.to, c.proxy, all)
		}
	}
}

// The steps before the answer, each with its own words.
func TestDoctorOfConnections(t *testing.T) {
	for _, c := range []struct {
		err         error
		check, want string
	}{
		{&net.OpError{Op: "dial", Err: &net.DNSError{Name: "prometheus.exmaple", Err: "no such host"}}, "d: name", "prometheus.exmaple cannot be resolved: no such host"},
		{context.DeadlineExceeded, "d: connection", "no answer within 10s"},
		{&net.OpError{Op: "dial", Err: syscall.ENETUNREACH}, "d: connection", "network is unreachable"},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "d: connection", "it is cut: "},
		{io.EOF, "d: connection", "it is cut: EOF"},
		{errors.New("tls: handshake failure"), "d: connection", "handshake failure"},
	} {
		f := unreachable("d", &url.Error{URL: "https://user:hidden@x", Err: c.err}, "", time.Now())
		if f.Check != c.check || f.Level != levelFail || f.Remedy == "" || !strings.Contains(f.Found, c.want) || strings.Contains(f.Found, "hidden") {
			t.Errorf("%v: %+v", c.err, f)
		}
	}
}

// What answers on the agent's address is the agent, or not.
func TestDoctorOfDaemon(t *testing.T) {
	for want, answer := range map[string]func(http.ResponseWriter){
		"ok runs; its page is":                 func(w http.ResponseWriter) { fmt.Fprintln(w, "headend-agent is healthy.") },
		"ok runs behind TLS":                   func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) },
		"warn another program answers on 127.": func(w http.ResponseWriter) { fmt.Fprintln(w, "Node Exporter") },
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
		f := runs(strings.TrimPrefix(s.URL, "http://"))
		s.Close()
		if got := f.Level + " " + f.Found; !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Root is told that the agent is somebody else; a pages' file that is wrong is found here and by check-config, not by a restart.
func TestDoctorOfUserAndPages(t *testing.T) {
	dir := t.TempDir()
	if _, other := otherUser(dir, os.Getuid()); other {
		t.Error("it is our own")
	}
	if os.Getuid() == 0 {
		if err := os.Chown(dir, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if f, other := otherUser(dir, 0); !other || f.Level != levelWarn || !strings.Contains(f.Remedy, "sudo -u headend-agent") {
			t.Errorf("%v, %+v", other, f)
		}
	}
	all, code := diagnose(t, "web: {config_file: "+dir+"/missing.yml}\n")
	if f := of(t, all, "pages"); f.Level != levelFail || code != 1 {
		t.Errorf("exit code %d, %+v", code, f)
	}
	file := filepath.Join(dir, "agent.yml")
	if err := os.WriteFile(file, []byte("web: {config_file: "+dir+"/missing.yml}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code := checkCommand([]string{"--config.file=" + file}, io.Discard, io.Discard); code != 1 {
		t.Errorf("check-config: exit code %d", code)
	}
}
