package push

import (
	"encoding/base64"
	"maps"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	promconfig "github.com/prometheus/common/config"
)

// redactor takes secrets out of texts that other programs wrote: errors of libraries, answers that repeat what they were sent.
type redactor struct {
	known []string // from the configuration
	files []string // that hold secrets

	mu   sync.Mutex
	sent []string // header values of the last request, which may come from files or token servers
}

// minSecret is the length below which a text is no secret: taking it out would garble everything.
const minSecret = 4

// credentials are what looks like the value of an Authorization header, whoever sent it.
var credentials = regexp.MustCompile(`(?i)\b(basic|bearer)\s+[A-Za-z0-9+/=._~-]{8,}`)

// longSegment is the length from which on a part of the URL's path is taken for a token.
const longSegment = 20

func newRedactor(cfg Config) *redactor {
	r := &redactor{known: slices.Collect(maps.Values(cfg.Headers))}
	r.url(cfg.URL)
	r.proxy(cfg.HTTP.ProxyConfig)
	if h := cfg.HTTP.HTTPHeaders; h != nil {
		for _, one := range h.Headers {
			r.known = append(r.known, one.Values...)
			r.files = append(r.files, one.Files...)
			for _, s := range one.Secrets {
				r.known = append(r.known, string(s))
			}
		}
	}
	if s := cfg.SigV4; s != nil {
		r.known = append(r.known, string(s.SecretKey))
	}
	if o := cfg.HTTP.OAuth2; o != nil {
		r.known = append(r.known, string(o.ClientSecret), string(o.ClientCertificateKey))
		r.known = slices.AppendSeq(r.known, maps.Values(o.EndpointParams))
		r.files = append(r.files, o.ClientSecretFile)
		r.url(o.TokenURL)
		r.proxy(o.ProxyConfig)
	}
	return r
}

func (r *redactor) proxy(p promconfig.ProxyConfig) {
	if p.ProxyURL.URL != nil {
		r.url(p.ProxyURL.URL.String())
	}
	for _, secrets := range p.ProxyConnectHeader {
		for _, s := range secrets {
			r.known = append(r.known, string(s))
		}
	}
}

// url adds what of a URL may be secret: user, password, the values of its query, and long parts of its path.
func (r *redactor) url(text string) {
	u, err := url.Parse(text)
	if err != nil {
		return
	}
	if u.User != nil {
		password, _ := u.User.Password()
		r.known = append(r.known, u.User.String(), u.User.Username(), password)
	}
	if u.RawQuery != "" {
		r.known = append(r.known, u.RawQuery)
	}
	for _, values := range u.Query() {
		r.known = append(r.known, values...)
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if len(segment) >= longSegment {
			r.known = append(r.known, segment)
		}
	}
}

// begin forgets the headers of the request before.
func (r *redactor) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = r.sent[:0]
}

// wrote is told each header that goes out.
func (r *redactor) wrote(name string, values []string) {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Authorization", "Proxy-Authorization", "X-Amz-Security-Token":
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sent = append(r.sent, values...)
	}
}

// redact returns text without the secrets.
func (r *redactor) redact(text string) string {
	if text == "" {
		return ""
	}
	secrets := slices.Clone(r.known)
	for _, file := range r.files {
		if b, err := os.ReadFile(file); err == nil {
			secrets = append(secrets, strings.TrimSpace(string(b)))
		}
	}
	r.mu.Lock()
	for _, v := range r.sent {
		scheme, credentials, _ := strings.Cut(v, " ")
		secrets = append(secrets, v, credentials)
		if plain, err := base64.StdEncoding.DecodeString(credentials); err == nil && scheme == "Basic" {
			_, password, _ := strings.Cut(string(plain), ":")
			secrets = append(secrets, string(plain), password)
		}
	}
	r.mu.Unlock()
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // what holds another one first
	for _, s := range secrets {
		if len(s) >= minSecret {
			text = strings.ReplaceAll(text, s, "<secret>")
		}
	}
	return credentials.ReplaceAllString(text, "$1 <secret>")
}
