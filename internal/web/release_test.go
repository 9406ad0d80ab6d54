package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestReleaseGPUs(t *testing.T) {
	for _, c := range []struct {
		method, path string
		lifecycle    bool
		fails        error
		code         int
		says         string
		asked        time.Duration
	}{
		{"POST", "/-/gpu/release", true, nil, 200, "released for 10m0s", 10 * time.Minute},
		{"POST", "/-/gpu/release?for=90s", true, nil, 200, "released for 1m30s", 90 * time.Second},
		{"POST", "/-/gpu/release?for=soon", true, nil, 400, "like 10m", -1},
		{"POST", "/-/gpu/release?for=-1s", true, nil, 400, "like 10m", -1},
		{"POST", "/-/gpu/release?for=25h", true, nil, 400, "like 10m", -1},
		{"POST", "/-/gpu/release", true, errors.New("it does not end"), 500, "it does not end", 10 * time.Minute},
		{"POST", "/-/gpu/release", false, nil, 403, "--web.enable-lifecycle", -1},
		{"GET", "/-/gpu/release", true, nil, 405, "", -1},
	} {
		asked := time.Duration(-1)
		p := Parts{Lifecycle: c.lifecycle, ReleaseGPUs: func(_ context.Context, d time.Duration) error { asked = d; return c.fails }}
		w := httptest.NewRecorder()
		(&Server{parts: p}).mux().ServeHTTP(w, httptest.NewRequest(c.method, c.path, http.NoBody))
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.says) || asked != c.asked {
			t.Errorf("%s %s: %d %q, asked for %s; want %d %q, %s", c.method, c.path, w.Code, w.Body, asked, c.code, c.says, c.asked)
		}
	}
}
