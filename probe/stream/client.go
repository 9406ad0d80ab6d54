package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/prometheus/common/config"

	"headend-agent/probe"
)

// Config is what all media servers have in common.
type Config struct {
	URL              string                  `yaml:"url"`  // of the server, like http://127.0.0.1:80
	Name             string                  `yaml:"name"` // label server; with it, also of the vendor's metrics
	HTTPClientConfig config.HTTPClientConfig `yaml:",inline"`
}

// SetDirectory makes the paths of secrets relative to dir.
func (c *Config) SetDirectory(dir string) { c.HTTPClientConfig.SetDirectory(dir) }

// client asks one media server. Answers are read one at a time.
type client struct {
	http *http.Client
	base string // URL without a slash at its end
	scan scanner
}

// statusError is an answer that is not 200.
type statusError struct{ code int }

func (e *statusError) Error() string {
	text := fmt.Sprintf("HTTP status %d %s", e.code, http.StatusText(e.code))
	switch e.code {
	case http.StatusUnauthorized:
		return text + ": user name or password is missing or wrong"
	case http.StatusForbidden:
		return text + ": this user or address is not let in"
	}
	return text
}

// isStatus tells whether err is an answer with one of these codes.
func isStatus(err error, codes ...int) bool {
	var s *statusError
	if errors.As(err, &s) {
		for _, c := range codes {
			if s.code == c {
				return true
			}
		}
	}
	return false
}

func newHTTPClient(c *config.HTTPClientConfig) (*http.Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return config.NewClientFromConfig(*c, "stream", config.WithUserAgent("headend-agent"))
}

func parseBase(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("url: %w", probe.AskError(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.User != nil {
		return "", fmt.Errorf("url %q is not http://HOST:PORT, without user and query", u.Redacted())
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// open asks for path, which may have a query. The caller closes the body.
func (c *client) open(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json, */*;q=0.1")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.wrap(path, probe.AskError(err))
	}
	if resp.StatusCode != http.StatusOK {
		io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
		resp.Body.Close()
		return nil, c.wrap(path, &statusError{resp.StatusCode})
	}
	return resp.Body, nil
}

func (c *client) wrap(path string, err error) error {
	path, _, _ = strings.Cut(path, "?")
	return fmt.Errorf("ask %s%s: %w", c.base, path, err)
}

// json asks for path and lets read pull its answer.
func (c *client) json(ctx context.Context, path string, read func(*scanner)) error {
	body, err := c.open(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	c.scan.reset(body)
	if b := c.scan.peek(); b == '<' {
		return c.wrap(path, errHTML)
	}
	read(&c.scan)
	if err := c.scan.end(); err != nil {
		return c.wrap(path, probe.AskError(err))
	}
	return nil
}
