package web

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

const (
	releaseUsually = 10 * time.Minute
	releaseAtMost  = 24 * time.Hour
	releaseWithin  = 25 * time.Second // a call of the driver may be under way, and its process needs some patience
)

// releaseGPUs makes the agent close the GPUs, so that a driver can be replaced or a GPU reset: POST /-/gpu/release?for=10m.
func (p Parts) releaseGPUs(w http.ResponseWriter, r *http.Request) {
	if !p.Lifecycle {
		http.Error(w, "releasing GPUs over HTTP is off; start the agent with --web.enable-lifecycle, or stop it", http.StatusForbidden)
		return
	}
	d := releaseUsually
	if s := r.URL.Query().Get("for"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil || d < 0 || d > releaseAtMost {
			http.Error(w, fmt.Sprintf("for: %.20q is no duration of at most %s, like 10m", s, releaseAtMost), http.StatusBadRequest)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), releaseWithin)
	defer cancel()
	if err := p.ReleaseGPUs(ctx, d); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "GPUs are released for %s.\n", d)
}
