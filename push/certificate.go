package push

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"
)

// expiresSoon is how long before its end a certificate is spoken of.
const expiresSoon = 14 * 24 * time.Hour

// Warnings says what is right in form but will not work, or not for long: certificates that have expired or are about to. They
// can heal while the agent runs: the files are read anew as they change.
func (c Config) Warnings() []string {
	var all []string
	for _, f := range []struct{ key, file, inline string }{
		{"tls_config.ca_file", c.HTTP.TLSConfig.CAFile, c.HTTP.TLSConfig.CA},
		{"tls_config.cert_file", c.HTTP.TLSConfig.CertFile, c.HTTP.TLSConfig.Cert},
	} {
		text := []byte(f.inline)
		if f.file != "" {
			var err error
			if text, err = os.ReadFile(f.file); err != nil {
				all = append(all, fmt.Sprintf("%s: %v", f.key, err))
				continue
			}
		}
		if w := expiry(text, time.Now()); w != "" {
			all = append(all, f.key+": "+w)
		}
	}
	return all
}

// expiry says which certificate of a PEM text ends soon.
func expiry(text []byte, now time.Time) string {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return ""
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "cannot be read: " + err.Error()
		}
		end := cert.NotAfter.UTC().Format("2006-01-02")
		switch {
		case now.After(cert.NotAfter):
			return fmt.Sprintf("the certificate of %q expired on %s", cert.Subject.CommonName, end)
		case cert.NotAfter.Sub(now) < expiresSoon:
			return fmt.Sprintf("the certificate of %q expires on %s", cert.Subject.CommonName, end)
		}
	}
}
