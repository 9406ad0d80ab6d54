package stream

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The example of RFC 7616, section 3.9.1.
func TestDigestOfTheRFC(t *testing.T) {
	for algorithm, want := range map[string]string{
		"MD5": "8ca523f5e9506fed4657c9700eebdbec", "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		c := parseChallenges([]string{`Basic realm="x"`, `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=` + algorithm +
			`, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`})
		if c == nil {
			t.Fatalf("%s: the challenge is not understood", algorithm)
		}
		got := c.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", 1)
		for _, part := range []string{`response="` + want + `"`, `username="Mufasa"`, `uri="/dir/index.html"`, "nc=00000001", "qop=auth,",
			`opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`, "algorithm=" + algorithm} {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %s lacks %s", algorithm, got, part)
			}
		}
	}
}

// RFC 2617's example, whose challenge has no qop in its older form: RFC 2069's answer.
func TestChallenges(t *testing.T) {
	for _, c := range []struct {
		headers []string
		want    string
	}{
		{nil, "<nil>"},
		{[]string{"Negotiate"}, "<nil>"},
		{[]string{`Basic realm="tvheadend"`}, "basic"},
		{[]string{`Digest realm="r", nonce="n"`}, "r n  false"},
		{[]string{`Digest realm="a\"b, c=d", nonce="n", algorithm=md5, qop=auth`}, `a"b, c=d n MD5 true`},
		{[]string{`Digest nonce="n", qop="auth-int"`, `Basic realm="x"`}, "basic"},
		{[]string{`Digest nonce="n", algorithm=MD4`}, "<nil>"},
		{[]string{`Digest algorithm=SHA-512-256, nonce="n", qop="auth"`, `Digest algorithm=MD5, nonce="n", qop="auth"`}, " n SHA-512-256 true"},
		{[]string{`Digest realm="r`}, "<nil>"},
	} {
		got := "<nil>"
		if x := parseChallenges(c.headers); x != nil && x.basic {
			got = "basic"
		} else if x != nil {
			got = fmt.Sprintf("%s %s %s %v", x.realm, x.nonce, x.algorithm, x.qop)
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.headers, got, c.want)
		}
	}
}

func FuzzChallenge(f *testing.F) {
	f.Add(`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf", opaque="FQhe"`)
	f.Add(`Basic realm="x"`)
	f.Add(`Digest a=b,c="\",d`)
	f.Fuzz(func(t *testing.T, h string) {
		c := parseChallenges([]string{h})
		if c == nil || c.basic {
			return
		}
		if got := c.answer("u", "p", "GET", "/", "c", 1); !strings.HasPrefix(got, `Digest username="u", `) {
			t.Errorf("answer is %q", got)
		}
	})
}

// guarded is a Tvheadend that wants a login, by Digest or, if told, by Basic.
type guarded struct {
	t            *testing.T
	inner        http.Handler
	basic        bool
	nonce        string
	asked, inTry int
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.asked++
	auth := r.Header.Get("Authorization")
	if g.basic {
		if user, pass, _ := r.BasicAuth(); user == "admin" && pass == "pw" {
			g.inner.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="tvheadend"`)
		w.WriteHeader(401)
		return
	}
	if strings.HasPrefix(auth, "Basic") {
		g.t.Error("the password was sent in the clear")
	}
	c := challenge{realm: "tvheadend", nonce: g.nonce, opaque: "o", algorithm: "MD5", qop: true}
	if p := strings.Index(auth, `cnonce="`); p >= 0 && strings.Contains(auth, `nonce="`+g.nonce+`"`) {
		cnonce, _, _ := strings.Cut(auth[p+8:], `"`)
		var nc int
		fmt.Sscanf(auth[strings.Index(auth, "nc=")+3:], "%08x", &nc)
		if auth == c.answer("admin", "pw", r.Method, r.URL.RequestURI(), cnonce, nc) {
			g.inner.ServeHTTP(w, r)
			return
		}
	}
	w.Header().Set("WWW-Authenticate", `Digest realm="tvheadend", qop="auth", algorithm=MD5, opaque="o", nonce="`+g.nonce+`"`)
	w.WriteHeader(401)
}

func TestTvheadendLogin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(file, []byte("pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &guarded{t: t, inner: files(t, "tvheadend", recorded["tvheadend"]), nonce: "n1"}
	s := httptest.NewServer(g)
	defer s.Close()
	p := serverAt(t, "tvheadend", s.URL, "basic_auth: {username: admin, password_file: "+file+"}")
	run := func(requests int) {
		t.Helper()
		g.asked = 0
		if got, err := readings(t, p); err != nil || count(got, "headend_stream_alive") != 3 || g.asked != requests {
			t.Errorf("%d requests, want %d: %v", g.asked, requests, err)
		}
	}
	run(4) // one of them to be asked for the login
	run(3)
	g.nonce = "n2"
	run(4)
	g.basic = true
	run(4)
	run(3)
	wrong := serverAt(t, "tvheadend", s.URL, "basic_auth: {username: admin, password: wrong}")
	for range 2 {
		g.asked = 0
		if _, err := readings(t, wrong); !isStatus(err, 401) || g.asked > 2 {
			t.Errorf("a wrong password: %d requests, %v", g.asked, err)
		}
	}
	// Without any login the server's version is all that can be read.
	if _, err := readings(t, serverAt(t, "tvheadend", s.URL, "")); !isStatus(err, 401) {
		t.Errorf("no login: %v", err)
	}
}

func TestDigestStaysWithItsHost(t *testing.T) {
	g := &guarded{t: t, basic: true, inner: http.NotFoundHandler()}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("another host got the login")
		}
		g.ServeHTTP(w, r)
	}))
	defer elsewhere.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
	}))
	defer s.Close()
	if _, err := readings(t, serverAt(t, "tvheadend", s.URL, "basic_auth: {username: admin, password: pw}")); !isStatus(err, 401) {
		t.Errorf("error is %v", err)
	}
}
