package stream

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/prometheus/common/config"
)

// digest logs in as RFC 7616 says, or by Basic where the server offers only that. The server's challenge is kept, so that a
// request costs one round trip until the server wants another one. Requests must have no body.
type digest struct {
	next http.RoundTripper
	auth *config.BasicAuth

	mu   sync.Mutex
	last *challenge
	uses int // of last
}

// challenge is what a server asks for.
type challenge struct {
	basic                           bool
	realm, nonce, opaque, algorithm string
	qop                             bool // "auth" is offered
}

var digestHashes = map[string]func() hash.Hash{"": md5.New, "MD5": md5.New, "SHA-256": sha256.New, "SHA-512-256": sha512.New512_256}

// RoundTrip sends the request, and again if the server wants a login.
func (d *digest) RoundTrip(r *http.Request) (*http.Response, error) {
	first, err := d.login(r)
	if err != nil {
		return nil, err
	}
	resp, err := d.next.RoundTrip(first)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	c := parseChallenges(resp.Header.Values("WWW-Authenticate"))
	d.mu.Lock()
	again := c != nil && (d.last == nil || *c != *d.last)
	d.last, d.uses = c, 0
	d.mu.Unlock()
	if !again {
		return resp, nil
	}
	io.CopyN(io.Discard, resp.Body, 4<<10)
	resp.Body.Close()
	second, err := d.login(r)
	if err != nil {
		return nil, err
	}
	return d.next.RoundTrip(second)
}

// CloseIdleConnections is what http.Client looks for.
func (d *digest) CloseIdleConnections() { (&http.Client{Transport: d.next}).CloseIdleConnections() }

// login returns the request with an answer to the last challenge.
func (d *digest) login(r *http.Request) (*http.Request, error) {
	d.mu.Lock()
	c := d.last
	d.uses++
	uses := d.uses
	d.mu.Unlock()
	if c == nil || redirectedAway(r) {
		return r, nil
	}
	user, err := secretOr(d.auth.Username, d.auth.UsernameFile)
	if err != nil {
		return nil, err
	}
	password, err := secretOr(string(d.auth.Password), d.auth.PasswordFile)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	if c.basic {
		r.SetBasicAuth(user, password)
	} else {
		r.Header.Set("Authorization", c.answer(user, password, r.Method, r.URL.RequestURI(), rand.Text(), uses))
	}
	return r, nil
}

// redirectedAway tells whether another host than the one that was asked at first sent the client here.
func redirectedAway(r *http.Request) bool {
	first := r
	for first.Response != nil && first.Response.Request != nil {
		first = first.Response.Request
	}
	return first.URL.Host != r.URL.Host
}

func secretOr(text, file string) (string, error) {
	if file == "" {
		return text, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read login: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// answer builds the Authorization header.
func (c *challenge) answer(user, password, method, uri, cnonce string, uses int) string {
	sum := func(parts ...string) string {
		h := digestHashes[c.algorithm]()
		io.WriteString(h, strings.Join(parts, ":"))
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace
	a1, a2 := sum(user, c.realm, password), sum(method, uri)
	b := fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s"`, quote(user), quote(c.realm), quote(c.nonce), uri)
	if c.qop {
		nc := fmt.Sprintf("%08x", uses)
		b += fmt.Sprintf(`, qop=auth, nc=%s, cnonce="%s", response="%s"`, nc, cnonce, sum(a1, c.nonce, nc, cnonce, "auth", a2))
	} else {
		b += fmt.Sprintf(`, response="%s"`, sum(a1, c.nonce, a2))
	}
	if c.opaque != "" {
		b += fmt.Sprintf(`, opaque="%s"`, quote(c.opaque))
	}
	if c.algorithm != "" {
		b += ", algorithm=" + c.algorithm
	}
	return b
}

// parseChallenges picks the first Digest challenge that can be answered, or else Basic; nil if there is neither.
func parseChallenges(headers []string) *challenge {
	var basic *challenge
	for _, h := range headers {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(h), " ")
		switch strings.ToLower(scheme) {
		case "basic":
			basic = &challenge{basic: true}
		case "digest":
			if c := parseDigest(rest); c != nil {
				return c
			}
		}
	}
	return basic
}

func parseDigest(text string) *challenge {
	p := map[string]string{}
	for text != "" {
		key, rest, found := strings.Cut(text, "=")
		if !found {
			break
		}
		var v string
		v, text = cutParameter(strings.TrimLeft(rest, " \t"))
		p[strings.ToLower(strings.Trim(key, ", \t"))] = v
	}
	c := &challenge{realm: p["realm"], nonce: p["nonce"], opaque: p["opaque"], algorithm: p["algorithm"]}
	if known := strings.ToUpper(c.algorithm); digestHashes[known] != nil {
		c.algorithm = known
	} else {
		return nil
	}
	for _, q := range strings.Split(p["qop"], ",") {
		c.qop = c.qop || strings.EqualFold(strings.TrimSpace(q), "auth")
	}
	if c.nonce == "" || p["qop"] != "" && !c.qop {
		return nil
	}
	return c
}

// cutParameter takes one value, quoted or not, off a list.
func cutParameter(s string) (v, rest string) {
	if !strings.HasPrefix(s, `"`) {
		v, rest, _ = strings.Cut(s, ",")
		return strings.TrimSpace(v), rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
		case s[i] == '"':
			return b.String(), s[i+1:]
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}
