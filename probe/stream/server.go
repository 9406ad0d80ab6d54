package stream

import (
	"context"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// api is how one kind of media server is asked.
type api interface {
	// read asks the server and adds what it says. An error voids what it added, except a *probe.Partial.
	read(ctx context.Context, c *client, run *run) error
	// isThere tells whether a server of this kind answers, be it that it wants a password.
	isThere(ctx context.Context, c *client) bool
}

// run is where an api adds what one run finds.
type run struct {
	out    *metric.Set
	server string // label of headend_*: the configured name, or the kind
	own    string // label of the vendor's metrics: the configured name, or none
	*names
}

// add adds a stream.
func (r *run) add(rec *record) { rec.add(r.out, r.server) }

// server is the probe of one media server. Without a section in the configuration it looks for one on the usual ports of
// loopback, and adds nothing until one is there.
type server struct {
	api    api
	client *client
	label  string
	own    string
	names  names
	ports  []string // where to look: URLs; nil when it is configured or found
	lookAt time.Time
}

// lookAgain is how often a server that was not there is looked for.
const lookAgain = time.Minute

func newServer(kind string, c *Config, a api, usual ...string) (*server, error) {
	hc, err := newHTTPClient(&c.HTTPClientConfig)
	if err != nil {
		return nil, err
	}
	s := &server{api: a, client: &client{http: hc}, label: kind, own: c.Name}
	if c.Name != "" {
		s.label = c.Name
	}
	if c.URL == "" {
		s.ports = usual
		return s, nil
	}
	s.client.base, err = parseBase(c.URL)
	return s, err
}

// Target names the server that is asked, or "" while none was found.
func (s *server) Target() string { return s.client.base }

// Name is the label "server": with several servers of a kind, each needs its own.
func (s *server) Name() string { return s.label }

// Close closes the connections that are kept for the next run. One that a run under way uses is closed when that ends.
func (s *server) Close() error {
	s.client.http.CloseIdleConnections()
	return nil
}

// Collect adds up first: a server that fails leaves it alone in the run.
func (s *server) Collect(ctx context.Context, out *metric.Set) error {
	ctx, cancel := probe.Early(ctx)
	defer cancel()
	if s.ports != nil && !s.look(ctx) {
		return nil
	}
	out.Add(streamUp, 0, s.label)
	mark := out.Mark()
	s.names.begin()
	err := s.api.read(ctx, s.client, &run{out, s.label, s.own, &s.names})
	if _, partial := err.(*probe.Partial); err == nil || partial {
		out.Amend(0, 1)
		return err
	}
	out.Rewind(mark)
	return &probe.Partial{Err: err}
}

// look tries the usual ports, now and then.
func (s *server) look(ctx context.Context) bool {
	now := time.Now()
	if now.Before(s.lookAt) {
		return false
	}
	s.lookAt = now.Add(lookAgain)
	for _, base := range s.ports {
		s.client.base = base
		if s.api.isThere(ctx, s.client) {
			s.ports = nil
			return true
		}
	}
	s.client.base = ""
	return false
}
