// Package web serves the agent's pages: metrics for those who can pull, health, reload.
package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"headend-agent/internal/metric"
)

// Parts are what the pages show and do.
type Parts struct {
	Version     string
	Latest      func(func(metric.Round)) // yields what each probe found last
	Facts       func() Facts             // what the metrics do not tell
	Reload      func(context.Context) error
	ReleaseGPUs func(context.Context, time.Duration) error // lets go of GPUs for a while; returns when they are free
	Lifecycle   bool                                       // serve POST /-/reload and /-/gpu/release
}

// Server serves on one address.
type Server struct {
	listener net.Listener
	http     *http.Server
	flags    *toolkit.FlagConfig
	log      *slog.Logger
	parts    Parts
	history  *history
}

// Listen takes an address, host:port, and checks configFile, which is exporter-toolkit's and may be empty.
func Listen(address, configFile string, p Parts, log *slog.Logger) (*Server, error) {
	if err := CheckConfigFile(configFile); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("web.listen_address: %w; give another with --web.listen-address", err)
	}
	systemdSocket := false
	s := &Server{
		listener: l, log: log, parts: p, history: newHistory(),
		flags: &toolkit.FlagConfig{WebListenAddresses: &[]string{address}, WebSystemdSocket: &systemdSocket, WebConfigFile: &configFile},
	}
	s.http = &http.Server{Handler: s.mux(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	return s, nil
}

// CheckConfigFile checks a file of exporter-toolkit's; "" stands for none.
func CheckConfigFile(name string) error {
	if name == "" {
		return nil
	}
	if err := toolkit.Validate(name); err != nil {
		return fmt.Errorf("web.config_file %s: %w", name, err)
	}
	return nil
}

// Address returns where the server listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.http.Shutdown(grace)
	})
	defer stop()
	var recording sync.WaitGroup
	recording.Go(func() { s.history.run(ctx, s.parts.Latest) })
	defer recording.Wait()
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})) // the toolkit reports each start
	if err := toolkit.Serve(s.listener, s.http, s.flags, quiet); err != nil && !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("web server ended; the agent goes on without its pages", "error", err)
	}
}

func (s *Server) mux() http.Handler {
	p := s.parts
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /api/v1/status", s.status)
	mux.HandleFunc("GET /metrics", p.metrics)
	mux.HandleFunc("GET /flussonic/api/metrics", p.metrics)
	mux.HandleFunc("GET /-/healthy", say("headend-agent is healthy.\n"))
	mux.HandleFunc("GET /-/ready", say("headend-agent is ready.\n"))
	mux.HandleFunc("POST /-/reload", p.reload)
	mux.HandleFunc("POST /-/gpu/release", p.releaseGPUs)
	return mux
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func (p Parts) metrics(w http.ResponseWriter, _ *http.Request) {
	var text metric.Text
	p.Latest(text.Add)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	b := bufio.NewWriterSize(w, 32<<10)
	text.WriteTo(b)
	b.Flush()
}

func (p Parts) reload(w http.ResponseWriter, r *http.Request) {
	if !p.Lifecycle {
		http.Error(w, "reloading over HTTP is off; start the agent with --web.enable-lifecycle, or send it SIGHUP", http.StatusForbidden)
		return
	}
	if err := p.Reload(r.Context()); err != nil {
		http.Error(w, strings.TrimSpace(err.Error()), http.StatusInternalServerError)
	}
}
