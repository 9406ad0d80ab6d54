package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// certificate writes server.crt and server.key for loopback into a directory.
func certificate(t testing.TB, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "edge"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"server.crt": {Type: "CERTIFICATE", Bytes: der}, "server.key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A scrape job in the shape of the vendor's guide works against the agent, behind TLS and a password; without the password there is nothing.
func TestPulledWithTLSAndPassword(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	address := free(t)
	flussonic := startFlussonic(t, "news")
	for name, text := range map[string]string{
		"web.yml":   "tls_server_config: {cert_file: server.crt, key_file: server.key}\nbasic_auth_users: {monitor: " + string(hash) + "}\n",
		"agent.yml": "global: {interval: 1s}\nbuffer: {path: " + dir + "/buffer}\nweb: {listen_address: \"" + address + "\", config_file: " + dir + "/web.yml}\nprobes: {flussonic: [{url: \"" + flussonic.URL + "\"}]}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start(t, agentBinary(t), "run", "--config.file="+filepath.Join(dir, "agent.yml"))
	job := func(name, path, password string) string {
		return "- job_name: " + name + "\n  scrape_interval: 1s\n  scheme: https\n  tls_config: {ca_file: " + dir + "/server.crt}\n  metrics_path: " + path +
			"\n  basic_auth: {username: monitor, password: " + password + "}\n  static_configs: [{targets: [\"" + address + "\"]}]\n"
	}
	prom := startPrometheus(t, "scrape_configs:\n"+job("flussonic", "/flussonic/api/metrics", "secret")+job("plain", "/metrics", "secret")+job("wrong", "/metrics", "guess"))
	for _, query := range []string{`up{job="flussonic"} == 1`, `up{job="plain"} == 1`, `up{job="wrong"} == 0`, `flussonic_stream_bitrate{job="flussonic",stream="news"} == 3000`, `node_load1{job="plain"}`} {
		eventually(t, 20*time.Second, func() error { _, err := one(prom.address, query); return err })
	}
	if all, err := query(prom.address, `node_load1{job="wrong"}`); err != nil || len(all) != 0 {
		t.Errorf("without the password: %v, %v", all, err)
	}
}
