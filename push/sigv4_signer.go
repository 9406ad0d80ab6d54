//go:build sigv4

package push

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/prometheus/sigv4"
)

func (s *SigV4) validate() error {
	c := sigv4.SigV4Config(*s)
	if err := c.Validate(); err != nil {
		return fmt.Errorf("sigv4: %w", err)
	}
	return nil
}

// signed signs what goes to next.
func signed(s *SigV4, next http.RoundTripper) http.RoundTripper {
	return &signer{cfg: sigv4.SigV4Config(*s), next: next}
}

// signer asks for credentials when the first request needs them, and again until it has some: the line may be down at the start.
type signer struct {
	cfg  sigv4.SigV4Config
	next http.RoundTripper

	mu    sync.Mutex
	ready http.RoundTripper
}

// unsigned is the request that is being signed, in its context.
type unsigned struct{}

// RoundTrip signs a copy of the body, so that the body itself still tells how much of it has gone out.
func (s *signer) RoundTrip(r *http.Request) (*http.Response, error) {
	sign, err := s.prepare(r.Context())
	if err != nil {
		r.Body.Close()
		return nil, err
	}
	c := r.WithContext(context.WithValue(r.Context(), unsigned{}, r))
	c.Body, c.GetBody = io.NopCloser(bytes.NewReader(r.Body.(*payload).data)), nil
	return sign.RoundTrip(c)
}

func (s *signer) prepare(ctx context.Context) (http.RoundTripper, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready == nil {
		sign, err := sigv4.NewSigV4RoundTripper(&s.cfg, original{s.next}, sigv4.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		s.ready = sign
	}
	return s.ready, nil
}

// CloseIdleConnections is what http.Client looks for.
func (s *signer) CloseIdleConnections() { (&http.Client{Transport: s.next}).CloseIdleConnections() }

// original sends the body that was signed, and not the copy.
type original struct{ next http.RoundTripper }

func (o original) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Body.Close()
	from := r.Context().Value(unsigned{}).(*http.Request)
	r = r.WithContext(r.Context())
	r.Body, r.GetBody = from.Body, from.GetBody
	return o.next.RoundTrip(r)
}
