//go:build !sigv4

package push

import (
	"errors"
	"net/http"
)

func (*SigV4) validate() error {
	return errors.New("sigv4: this program was built without it; the packages have it, and so has one built with -tags sigv4")
}

func signed(_ *SigV4, next http.RoundTripper) http.RoundTripper { return next }
