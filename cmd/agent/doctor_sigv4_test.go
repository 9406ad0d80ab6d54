//go:build sigv4

package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The empty write is signed as a true one is.
func TestDoctorSigned(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ") {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer s.Close()
	all, _ := diagnose(t, "remote_write: [{name: d, url: \""+s.URL+"\", sigv4: {region: eu-central-1, access_key: a, secret_key: b}}]\n")
	if f := of(t, all, "d: write"); f.Level != levelOK {
		t.Errorf("%+v", f)
	}
}
