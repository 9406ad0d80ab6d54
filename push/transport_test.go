package push

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	promconfig "github.com/prometheus/common/config"
)

// deliver sends 20 samples and wants them delivered.
func (s *setup) deliver(t *testing.T) {
	t.Helper()
	before := s.source.outcome().Delivered
	s.source.fill(series(10), 2, time.Now().Add(time.Duration(before)*time.Minute), time.Second)
	s.run(t, s.drained)
	check(t, "delivered", s.source.outcome().Delivered-before, 20)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAuthentication(t *testing.T) {
	secret := write(t, filepath.Join(t.TempDir(), "secret"), "first-secret\n")
	var want atomic.Value
	_, url := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
		if got := r.Header.Get("Authorization"); got != want.Load().(string) {
			http.Error(w, "I got "+got, http.StatusUnauthorized)
			return
		}
		ok(w, r, x)
	})
	for name, c := range map[string]struct {
		change func(*promconfig.HTTPClientConfig)
		want   string
	}{
		"basic": {func(c *promconfig.HTTPClientConfig) {
			c.BasicAuth = &promconfig.BasicAuth{Username: "123", PasswordFile: secret}
		}, "Basic MTIzOmZpcnN0LXNlY3JldA=="},
		"bearer": {func(c *promconfig.HTTPClientConfig) {
			c.Authorization = &promconfig.Authorization{Type: "Bearer", CredentialsFile: secret}
		}, "Bearer first-secret"},
		"old bearer": {func(c *promconfig.HTTPClientConfig) { c.BearerToken = "inline-secret" }, "Bearer inline-secret"},
	} {
		t.Run(name, func(t *testing.T) {
			want.Store(c.want)
			s := newSetup(t, config(url, func(cfg *Config) { c.change(&cfg.HTTP) }))
			s.deliver(t)
		})
	}
	t.Run("file changes", func(t *testing.T) {
		want.Store("Bearer first-secret")
		s := newSetup(t, config(url, func(c *Config) {
			c.HTTP.Authorization = &promconfig.Authorization{Type: "Bearer", CredentialsFile: secret}
		}))
		s.deliver(t)
		write(t, secret, "second-secret")
		want.Store("Bearer second-secret")
		s.deliver(t)
	})
}

func TestOAuth2(t *testing.T) {
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		id, secret, _ := r.BasicAuth()
		if id != "agent" || secret != "client-secret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"access_token": "the-token", "token_type": "Bearer", "expires_in": 3600})
	}))
	defer tokens.Close()
	_, url := serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
		check(t, "token", r.Header.Get("Authorization"), "Bearer the-token")
		ok(w, r, x)
	})
	s := newSetup(t, config(url, func(c *Config) {
		c.HTTP.OAuth2 = &promconfig.OAuth2{ClientID: "agent", ClientSecret: "client-secret", TokenURL: tokens.URL}
	}))
	s.deliver(t)
}

// issue makes a certificate; without a parent one that signs itself.
func issue(t *testing.T, name string, end time.Time, parent *tls.Certificate) (cert tls.Certificate, certPEM, keyPEM string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: end,
		IsCA: parent == nil, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	signer, signKey := template, any(key)
	if parent != nil {
		signer, signKey = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	keyPEM = string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}))
	cert, err = tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	if err != nil {
		t.Fatal(err)
	}
	cert.Leaf, _ = x509.ParseCertificate(der)
	return cert, certPEM, keyPEM
}

func TestMutualTLSWithFilesThatChange(t *testing.T) {
	dir := t.TempDir()
	year := time.Now().AddDate(1, 0, 0)
	ca, caPEM, _ := issue(t, "ca", year, nil)
	server, _, _ := issue(t, "server", year, &ca)
	_, firstCert, firstKey := issue(t, "edge-1", year, &ca)
	_, secondCert, secondKey := issue(t, "edge-2", year, &ca)
	var name atomic.Value
	f := &fake{t: t, answer: func(w http.ResponseWriter, r *http.Request, x received) {
		name.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
		check(t, "protocol", r.Proto, "HTTP/1.1")
		ok(w, r, x)
	}}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	ts := httptest.NewUnstartedServer(f)
	ts.EnableHTTP2 = true
	ts.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	ts.StartTLS()
	defer ts.Close()
	cfg := config(ts.URL, func(c *Config) {
		c.HTTP.TLSConfig = promconfig.TLSConfig{CAFile: write(t, filepath.Join(dir, "ca"), caPEM),
			CertFile: write(t, filepath.Join(dir, "cert"), firstCert), KeyFile: write(t, filepath.Join(dir, "key"), firstKey)}
	})
	s := newSetup(t, cfg)
	s.deliver(t)
	check(t, "client", name.Load().(string), "edge-1")
	write(t, filepath.Join(dir, "cert"), secondCert)
	write(t, filepath.Join(dir, "key"), secondKey)
	s.sender.lanes[0].client.stale = true
	s.deliver(t)
	check(t, "client", name.Load().(string), "edge-2")
}

// A receiver that wants a certificate says so by an alert.
func TestMissingClientCertificateIsNamed(t *testing.T) {
	ts := httptest.NewUnstartedServer(http.NotFoundHandler())
	ts.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12} // where it comes within the handshake
	ts.StartTLS()
	defer ts.Close()
	c, err := newClient(config(ts.URL, func(c *Config) { c.HTTP.TLSConfig.InsecureSkipVerify = true }), Parts{Version: "test"}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	if a := c.post(t.Context(), protocolV2, []byte("body"), time.Minute); a.class != "tls" || a.lost {
		t.Errorf("class %q: %s", a.class, a.text)
	}
}

func TestUnknownAuthorityIsNamedAndRetried(t *testing.T) {
	ts := httptest.NewTLSServer(http.NotFoundHandler())
	defer ts.Close()
	ts.Config.ErrorLog = nil
	s := newSetup(t, config(ts.URL))
	s.source.fill(series(1), 1, time.Now(), time.Second)
	s.run(t, s.sender.report.inTrouble)
	class, text, _ := s.sender.report.now()
	if class != "tls" || !strings.Contains(text, "unknown authority") {
		t.Errorf("%s: %s", class, text)
	}
}

func TestProxies(t *testing.T) {
	var connects, socks atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != "Basic dTpwdw==" || r.Header.Get("X-Pass") != "open" {
			http.Error(w, "not here", http.StatusProxyAuthRequired)
			return
		}
		connects.Add(1)
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer up.Close()
		w.WriteHeader(200)
		c, _, _ := w.(http.Hijacker).Hijack()
		defer c.Close()
		go io.Copy(up, c)
		io.Copy(c, up)
	}))
	defer proxy.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			socks.Add(1)
			go serveSOCKS(c)
		}
	}()
	f := &fake{t: t, answer: ok}
	ts := httptest.NewTLSServer(f)
	defer ts.Close()
	through := func(to string, header string) Config {
		return config(ts.URL, func(c *Config) {
			u, _ := url.Parse(to)
			c.HTTP.TLSConfig.InsecureSkipVerify = true
			c.HTTP.ProxyURL = promconfig.URL{URL: u}
			if header != "" {
				c.HTTP.ProxyConnectHeader = promconfig.ProxyHeader{"X-Pass": {promconfig.Secret(header)}}
			}
		})
	}
	host := strings.TrimPrefix(proxy.URL, "http://")
	newSetup(t, through("http://u:pw@"+host, "open")).deliver(t)
	newSetup(t, through("socks5://"+l.Addr().String(), "")).deliver(t)
	if connects.Load() == 0 || socks.Load() == 0 {
		t.Errorf("%d CONNECTs, %d SOCKS connections", connects.Load(), socks.Load())
	}

	s := newSetup(t, through("http://u:hidden-word@"+host, "shut-word"))
	s.source.fill(series(1), 1, time.Now(), time.Second)
	s.run(t, s.sender.report.inTrouble)
	if text := s.log.String(); !strings.Contains(text, "Proxy Authentication Required") || strings.Contains(text, "-word") {
		t.Errorf("log: %s", text)
	}
}

// serveSOCKS speaks version 5 without authentication, for CONNECT to an IPv4 address or a name.
func serveSOCKS(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	head := make([]byte, 2)
	io.ReadFull(r, head)
	io.ReadFull(r, make([]byte, head[1]))
	c.Write([]byte{5, 0})
	request := make([]byte, 4)
	io.ReadFull(r, request)
	var host string
	switch request[3] {
	case 1:
		ip := make([]byte, 4)
		io.ReadFull(r, ip)
		host = net.IP(ip).String()
	case 3:
		n, _ := r.ReadByte()
		name := make([]byte, n)
		io.ReadFull(r, name)
		host = string(name)
	}
	port := make([]byte, 2)
	io.ReadFull(r, port)
	up, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(port))))
	if err != nil {
		return
	}
	defer up.Close()
	c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go io.Copy(up, r)
	io.Copy(c, up)
}

// TestSecretsStaySecret lets receivers and networks repeat all that they were told.
func TestSecretsStaySecret(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "f"), "file-s3cret")
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "%s %s %v %s %s", r.RequestURI, r.Host, r.Header, user, password)
	}))
	t.Cleanup(echo.Close)
	up := strings.TrimPrefix(echo.URL, "http://")
	down := "127.0.0.1:1/api/v1/write"
	for name, change := range map[string]func(*Config, string){
		"in the URL": func(c *Config, at string) {
			c.URL = "http://us3cret:pw-s3cret@" + at + "/tok-s3cret-tok-s3cret-tok?api_key=query-s3cret"
		},
		"headers": func(c *Config, at string) {
			c.URL, c.Headers = "http://"+at, map[string]string{"X-Api-Key": "header-s3cret"}
			c.HTTP.HTTPHeaders = &promconfig.Headers{Headers: map[string]promconfig.Header{
				"X-One": {Values: []string{"plain-s3cret"}}, "X-Two": {Secrets: []promconfig.Secret{"other-s3cret"}}, "X-Three": {Files: []string{file}}}}
		},
		"basic": func(c *Config, at string) {
			c.URL = "http://" + at
			c.HTTP.BasicAuth = &promconfig.BasicAuth{Username: "me", PasswordFile: file}
		},
		"bearer": func(c *Config, at string) { c.URL = "http://" + at; c.HTTP.BearerToken = "bearer-s3cret" },
		"oauth": func(c *Config, at string) {
			c.URL = "http://" + at
			c.HTTP.OAuth2 = &promconfig.OAuth2{ClientID: "me", ClientSecretFile: file, TokenURL: "http://x:url-s3cret@" + at, EndpointParams: map[string]string{"p": "param-s3cret"}}
		},
	} {
		for _, at := range []string{up, down} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newSetup(t, config("http://x", func(c *Config) { c.Name = ""; change(c, at) }))
				s.source.fill(series(1), 1, time.Now(), time.Second)
				s.run(t, s.sender.report.inTrouble)
				all := fmt.Sprintf("%s\n%s\n%+v", s.log.String(), s.metrics(t), s.sender.Status())
				if strings.Contains(all, "s3cret") || strings.Contains(all, "czNjcmV0") {
					t.Error(all)
				}
			})
		}
	}
}

func TestConnectionsAreRenewed(t *testing.T) {
	var opened atomic.Int32
	f := &fake{t: t, answer: ok}
	ts := httptest.NewUnstartedServer(f)
	ts.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	ts.Start()
	defer ts.Close()
	s := newSetup(t, config(ts.URL))
	s.deliver(t)
	s.deliver(t)
	before := opened.Load()
	s.sender.lanes[0].client.fresh = time.Now().Add(-connectionAge)
	s.deliver(t)
	check(t, "more connections after nine minutes", opened.Load()-before, 1)
}

func TestAddressThatChanges(t *testing.T) {
	old := httptest.NewServer(&fake{t: t, answer: ok})
	address := old.Listener.Addr().String()
	s := newSetup(t, config(old.URL))
	s.deliver(t)
	old.CloseClientConnections()
	old.Close()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip("the port was taken meanwhile")
	}
	f := &fake{t: t, answer: ok}
	fresh := &httptest.Server{Listener: l, Config: &http.Server{Handler: f}}
	fresh.Start()
	defer fresh.Close()
	s.deliver(t)
	check(t, "requests at the new one", len(f.requests()), 1)
}

func TestWarningsOfCertificates(t *testing.T) {
	dir := t.TempDir()
	_, expired, _ := issue(t, "old", time.Now().Add(-time.Minute), nil)
	_, soon, key := issue(t, "edge", time.Now().Add(72*time.Hour), nil)
	cfg := config("http://x", func(c *Config) {
		c.HTTP.TLSConfig = promconfig.TLSConfig{CAFile: write(t, filepath.Join(dir, "ca"), expired),
			CertFile: write(t, filepath.Join(dir, "cert"), soon), KeyFile: write(t, filepath.Join(dir, "key"), key)}
	})
	if w := cfg.Warnings(); len(w) != 2 || !strings.Contains(w[0], `"old" expired`) || !strings.Contains(w[1], `"edge" expires`) {
		t.Errorf("%q", w)
	}
}
