package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	promconfig "github.com/prometheus/common/config"

	"headend-agent/push"
)

// tryFor bounds one check of a destination.
const tryFor = 10 * time.Second

// examineDestination goes the way of a request: name, connection, TLS, and an empty write with the credentials.
func examineDestination(ctx context.Context, rw push.Config) (all []finding) {
	name := rw.Destination()
	client, err := push.NewHTTPClient(rw)
	if err != nil {
		return []finding{fail(name, "check the files and settings of this remote_write entry", "%v", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	var w way
	req, redact, err := push.EmptyWrite(httptrace.WithClientTrace(ctx, w.trace()), rw, version)
	if err != nil {
		return []finding{fail(name, "write it like https://prometheus.example/api/v1/write", "url cannot be read")}
	}
	proxy := proxyOf(rw.HTTP, req)
	start := time.Now()
	resp, err := client.Do(req)
	took := time.Since(start)
	all = w.findings(name, proxy, start)
	defer func() {
		for i := range all {
			all[i].Found = redact(all[i].Found)
		}
	}()
	for _, text := range rw.Warnings() {
		all = append(all, warn(name+": files", "put a new certificate in its place; it is read again by itself", "%s", text))
	}
	if err != nil {
		return append(all, unreachable(name, err, proxy, start))
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
	all = append(all, answered(name+": write", resp, body, took))
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		if off := date.Sub(start.Add(took / 2)); off.Abs() > 5*time.Second {
			all = append(all, warn(name+": clock", "timedatectl set-ntp true, or start chrony, on whichever is wrong", "the receiver's clock and ours are %s apart", off.Abs().Round(time.Second)))
		}
	}
	return all
}

// proxyOf returns the address of the proxy that a request goes through, "" where it needs none.
func proxyOf(c promconfig.HTTPClientConfig, req *http.Request) string {
	choose := c.Proxy()
	if choose == nil {
		return ""
	}
	if u, err := choose(req); err == nil && u != nil {
		return u.Host // without user and password
	}
	return ""
}

// way is what is seen of a request's way. Its parts come from other goroutines, some perhaps after the request has ended.
type way struct {
	mu     sync.Mutex
	host   string // that was looked up: the receiver's, or a proxy's
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
		DNSStart: func(i httptrace.DNSStartInfo) { set(func() { w.host = i.Host }) },
		DNSDone:  func(i httptrace.DNSDoneInfo) { set(func() { w.name = i.Addrs }) },
		GotConn:  func(i httptrace.GotConnInfo) { set(func() { w.remote = i.Conn.RemoteAddr().String() }) },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			if err == nil {
				set(func() { w.tls = &s })
			}
		},
	}
}

func (w *way) findings(destination, proxy string, now time.Time) []finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []finding
	if len(w.name) > 0 {
		all = append(all, fine(destination+": name", "%s is %s", w.host, addresses(w.name)))
	}
	if w.remote != "" {
		through := ""
		if proxy != "" {
			through = ", a proxy"
		}
		all = append(all, fine(destination+": connection", "to %s%s", w.remote, through))
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
