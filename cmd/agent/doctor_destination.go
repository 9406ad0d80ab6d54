package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/golang/snappy"
	promconfig "github.com/prometheus/common/config"

	"headend-agent/push"
)

// tryFor bounds one check of a destination.
const tryFor = 10 * time.Second

// examineDestination goes the way of a request: name, connection, TLS, and an empty write with the credentials.
func examineDestination(ctx context.Context, rw push.Config) []finding {
	name := rw.Destination()
	u, err := url.Parse(rw.URL)
	if err != nil {
		return []finding{fail(name, "write it like https://prometheus.example/api/v1/write", "url cannot be read")}
	}
	client, err := promconfig.NewClientFromConfig(rw.HTTP, name, promconfig.WithHTTP2Disabled())
	if err != nil {
		return []finding{fail(name, "check the files and settings of this remote_write entry", "%v", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	var w way
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, w.trace()), http.MethodPost, rw.URL, bytes.NewReader(snappy.Encode(nil, nil)))
	if err != nil {
		return []finding{fail(name, "write it like https://prometheus.example/api/v1/write", "url cannot be read")}
	}
	for k, v := range rw.Headers {
		req.Header.Set(k, v)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	req.Header.Set("User-Agent", "headend-agent/"+version)
	start := time.Now()
	resp, err := client.Do(req)
	took := time.Since(start)
	all := w.findings(name, u.Hostname(), start)
	if err != nil {
		return append(all, unreachable(name, err))
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
	all = append(all, answered(name+": write", resp.StatusCode, strings.TrimSpace(string(body)), took))
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		if off := date.Sub(start.Add(took / 2)); off.Abs() > 5*time.Second {
			all = append(all, warn(name+": clock", "timedatectl set-ntp true, or start chrony, on whichever is wrong", "the receiver's clock and ours are %s apart", off.Abs().Round(time.Second)))
		}
	}
	return all
}

// way is what is seen of a request's way. Its parts come from other goroutines, some perhaps after the request has ended.
type way struct {
	mu     sync.Mutex
	name   []net.IPAddr
	remote string
	tls    *tls.ConnectionState
}

func (w *way) trace() *httptrace.ClientTrace {
	set := func(f func()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		f()
	}
	return &httptrace.ClientTrace{
		DNSDone: func(i httptrace.DNSDoneInfo) { set(func() { w.name = i.Addrs }) },
		GotConn: func(i httptrace.GotConnInfo) { set(func() { w.remote = i.Conn.RemoteAddr().String() }) },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			if err == nil {
				set(func() { w.tls = &s })
			}
		},
	}
}

func (w *way) findings(destination, host string, now time.Time) []finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []finding
	if len(w.name) > 0 {
		all = append(all, fine(destination+": name", "%s is %s", host, addresses(w.name)))
	}
	if w.remote != "" {
		all = append(all, fine(destination+": connection", "to %s", w.remote))
	}
	if w.tls != nil {
		all = append(all, certificate(destination+": TLS", w.tls, now))
	}
	return all
}

func addresses(list []net.IPAddr) string {
	var all []string
	for _, a := range list {
		all = append(all, a.String())
	}
	return strings.Join(all, ", ")
}

// certificate warns of one that ends soon.
func certificate(check string, s *tls.ConnectionState, now time.Time) finding {
	what := tls.VersionName(s.Version)
	if len(s.PeerCertificates) == 0 {
		return fine(check, "%s", what)
	}
	end := s.PeerCertificates[0].NotAfter
	if end.Sub(now) < 7*24*time.Hour {
		return warn(check, "renew it on the receiver's side", "%s; the certificate ends %s", what, end.UTC().Format(time.DateTime))
	}
	return fine(check, "%s; the certificate is valid until %s", what, end.UTC().Format(time.DateOnly))
}

// unreachable says at which step of the way a request ended. The error's own text may hold a secret URL, so only its cause is shown.
func unreachable(name string, err error) finding {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var dns *net.DNSError
	var unknown *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns):
		return fail(name+": name", "check the host in url, and the name server: resolvectl query "+dns.Name, "%s cannot be resolved: %s", dns.Name, dns.Err)
	case errors.As(err, &unknown):
		return fail(name+": TLS", "name the authority under tls_config: {ca_file: ...}; a certificate for another name: tls_config: {server_name: ...}", "%v", err)
	case errors.As(err, new(tls.RecordHeaderError)), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return fail(name+": TLS", "the port speaks no TLS: write http:// or another port", "%v", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fail(name+": connection", "a firewall that drops packets, or a route: curl -v the same address", "no answer within %s", tryFor)
	}
	return fail(name+": connection", "is the receiver up, is the port right, does a firewall refuse?", "%v", err)
}

// answered judges the answer to an empty write.
func answered(check string, status int, body string, took time.Duration) finding {
	said := fmt.Sprintf("HTTP %d within %s", status, took.Round(time.Millisecond))
	if body != "" && status/100 != 2 {
		said += ": " + body
	}
	switch {
	case status/100 == 2:
		return fine(check, "%s", said)
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return fail(check, "user, password or token are not what the receiver expects: basic_auth, authorization, or headers like X-Scope-OrgID", "%s", said)
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return fail(check, "the path is not a receiver's: /api/v1/write of a Prometheus that runs with --web.enable-remote-write-receiver; /api/v1/push of Mimir", "%s", said)
	case status/100 == 3:
		return fail(check, "write the address that it redirects to as url", "%s", said)
	case status == http.StatusTooManyRequests, status/100 == 5:
		return warn(check, "the receiver is overloaded or broken; samples are kept until it is well", "%s", said)
	}
	return warn(check, "it may take samples nevertheless: see the status page", "the receiver does not like an empty write: %s", said)
}
