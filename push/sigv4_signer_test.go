//go:build sigv4

package push

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// signature computes, after Amazon's documentation of Signature Version 4, what the Authorization header of a request must be.
func signature(r *http.Request, body []byte, keyID, secret, region, service string) string {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	signed, _, _ := strings.Cut(rest, ",")
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
	for name := range strings.SplitSeq(signed, ";") {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, value)
	}
	hash := sha256.Sum256(body)
	fmt.Fprintf(&canonical, "\n%s\n%s", signed, hex.EncodeToString(hash[:]))
	at := r.Header.Get("X-Amz-Date")
	scope := at[:8] + "/" + region + "/" + service + "/aws4_request"
	hash = sha256.Sum256([]byte(canonical.String()))
	key := []byte("AWS4" + secret)
	for _, part := range []string{at[:8], region, service, "aws4_request", "AWS4-HMAC-SHA256\n" + at + "\n" + scope + "\n" + hex.EncodeToString(hash[:])} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return "AWS4-HMAC-SHA256 Credential=" + keyID + "/" + scope + ", SignedHeaders=" + signed + ", Signature=" + hex.EncodeToString(key)
}

// awsAlone keeps a machine's own Amazon settings out of a test, and the test from looking for more.
func awsAlone(t *testing.T) (credentials string) {
	credentials = filepath.Join(t.TempDir(), "credentials")
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", credentials)
	return credentials
}

// amazon is a receiver that lets in what is signed.
func amazon(t *testing.T) (*fake, string) {
	return serve(t, func(w http.ResponseWriter, r *http.Request, x received) {
		if want := signature(r, x.packed, "AKIDEXAMPLE", "quite-secret", "eu-central-1", "aps"); r.Header.Get("Authorization") != want {
			http.Error(w, "I got "+r.Header.Get("Authorization")+" and want "+want, http.StatusForbidden)
			return
		}
		ok(w, r, x)
	})
}

func TestSignedForAmazon(t *testing.T) {
	awsAlone(t)
	_, url := amazon(t)
	s := newSetup(t, config(url+"/workspaces/ws-1/api/v1/remote_write", func(c *Config) {
		c.SigV4 = &SigV4{Region: "eu-central-1", AccessKey: "AKIDEXAMPLE", SecretKey: "quite-secret"}
	}))
	s.deliver(t)
}

// Credentials that are not there yet cost no sample, and once they are, nothing else.
func TestCredentialsForAmazonThatComeLater(t *testing.T) {
	file := awsAlone(t)
	f, url := amazon(t)
	s := newSetup(t, config(url, func(c *Config) { c.SigV4 = &SigV4{Region: "eu-central-1", Profile: "edge"} }))
	s.source.fill(series(10), 2, time.Now(), time.Second)
	s.run(t, func() bool { return strings.Contains(s.log.String(), "remote write does not get through") })
	check(t, "requests", len(f.requests()), 0)
	write(t, file, "[edge]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = quite-secret\n")
	s.run(t, s.drained)
	check(t, "outcome", outcome(s.source.outcome()), "delivered 20 refused 0 uncertain 0 dropped map[]")
	if strings.Contains(s.log.String(), "quite-secret") {
		t.Error("the log tells the secret")
	}
}

// A body that was signed but not sent is not taken for one that the receiver may have.
func TestSignedAndNotSent(t *testing.T) {
	awsAlone(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	cfg := config("http://"+closed.Addr().String(), func(c *Config) {
		c.SigV4 = &SigV4{Region: "eu-central-1", AccessKey: "AKIDEXAMPLE", SecretKey: "quite-secret"}
	})
	c, err := newClient(cfg, Parts{Version: "test"}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	if a := c.post(t.Context(), protocolV2, bytes.Repeat([]byte("x"), 1000), time.Minute); a.lost || a.class != "refused" {
		t.Errorf("lost %v, class %q", a.lost, a.class)
	}
}

// A redirect within the house is signed anew.
func TestSignedRedirect(t *testing.T) {
	awsAlone(t)
	_, url := amazon(t)
	from := httptest.NewServer(http.RedirectHandler(url+"/new", http.StatusTemporaryRedirect))
	t.Cleanup(from.Close)
	s := newSetup(t, config(from.URL, func(c *Config) {
		c.SigV4 = &SigV4{Region: "eu-central-1", AccessKey: "AKIDEXAMPLE", SecretKey: "quite-secret"}
	}))
	s.deliver(t)
}
