// Package web serves the agent's pages: metrics for those who can pull, health, reload.
package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"headend-agent/internal/metric"
)

// Parts are what the pages show and do.
type Parts struct {
	Version     string
	Latest      func(func(metric.Round)) // yields what each probe found last
	Reload      func() error
	ReleaseGPUs func(context.Context, time.Duration) error // lets go of GPUs for a while; returns when they are free
	Lifecycle   bool                                       // serve POST /-/reload and /-/gpu/release
}

// Server serves on one address.
type Server struct {
	listener net.Listener
	http     *http.Server
	flags    *toolkit.FlagConfig
	log      *slog.Logger
}

// Listen takes an address, host:port, and checks configFile, which is exporter-toolkit's and may be empty.
func Listen(address, configFile string, p Parts, log *slog.Logger) (*Server, error) {
	if configFile != "" {
		if err := toolkit.Validate(configFile); err != nil {
			return nil, fmt.Errorf("web.config_file %s: %w", configFile, err)
		}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("web.listen_address: %w; give another with --web.listen-address", err)
	}
	systemdSocket := false
	return &Server{
		listener: l, log: log,
		http:  &http.Server{Handler: p.mux(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute},
		flags: &toolkit.FlagConfig{WebListenAddresses: &[]string{address}, WebSystemdSocket: &systemdSocket, WebConfigFile: &configFile},
	}, nil
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
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})) // the toolkit reports each start
	if err := toolkit.Serve(s.listener, s.http, s.flags, quiet); err != nil && !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("web server ended; the agent goes on without its pages", "error", err)
	}
}

func (p Parts) mux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.index)
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

var page = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>headend-agent</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:2em auto;padding:0 1em;color-scheme:light dark}</style>
<h1>headend-agent</h1><p>{{.}}</p>
<ul><li><a href="/metrics">/metrics</a><li><a href="/-/healthy">/-/healthy</a><li><a href="/-/ready">/-/ready</a></ul>
`))

func (p Parts) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page.Execute(w, p.Version)
}

func (p Parts) metrics(w http.ResponseWriter, _ *http.Request) {
	var text metric.Text
	p.Latest(text.Add)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	b := bufio.NewWriterSize(w, 32<<10)
	text.WriteTo(b)
	b.Flush()
}

func (p Parts) reload(w http.ResponseWriter, _ *http.Request) {
	if !p.Lifecycle {
		http.Error(w, "reloading over HTTP is off; start the agent with --web.enable-lifecycle, or send it SIGHUP", http.StatusForbidden)
		return
	}
	if err := p.Reload(); err != nil {
		http.Error(w, strings.TrimSpace(err.Error()), http.StatusInternalServerError)
	}
}
