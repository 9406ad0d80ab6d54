package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"headend-agent/push"
)

// unreachable says at which step of the way a request ended. The error's own text may hold a secret URL, so only its cause is shown.
func unreachable(name string, err error, proxy string, now time.Time) finding {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var dns *net.DNSError
	var bad *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		return fail(name+": name", "check the host in url (or proxy_url), and the name server: resolvectl query "+dns.Name, "%s cannot be resolved: %s", dns.Name, dns.Err)
	case proxy != "" && (errors.As(err, &op) && op.Op == "proxyconnect" || notOfTheSystem(err)):
		return fail(name+": proxy", "check proxy_url (or HTTPS_PROXY), its user and password, and whether it lets through to that host and port", "the proxy %s does not let us through: %v", proxy, err)
	case errors.As(err, &bad):
		return untrusted(name+": TLS", bad, now)
	case errors.As(err, &op) && op.Op == "remote error": // an alert of the other side
		return fail(name+": TLS", "the receiver wants a client certificate, or another one: tls_config: {cert_file: ..., key_file: ...}", "%v", err)
	case errors.As(err, new(tls.RecordHeaderError)), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return fail(name+": TLS", "the port speaks no TLS: write http:// or another port", "%v", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fail(name+": connection", "a firewall that drops packets, or a route: curl -v the same address", "no answer within %s", tryFor)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fail(name+": connection", "something on the way cuts it, the port is of another service (curl -v the same address), or the receiver wants a client certificate (tls_config: {cert_file: ...})", "it is cut: %v", err)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return fail(name+": connection", "this host has no way there: ip route get ADDRESS; does the network work at all?", "%v", err)
	}
	return fail(name+": connection", "is the receiver up, is the port right, does a firewall refuse?", "%v", err)
}

// notOfTheSystem tells errors that are no more than words: net/http makes them of a proxy's refusal.
func notOfTheSystem(err error) bool {
	return errors.Unwrap(err) == nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, io.EOF)
}

// untrusted says why a certificate does not do.
func untrusted(check string, err *tls.CertificateVerificationError, now time.Time) finding {
	var unsuited x509.CertificateInvalidError
	var other x509.HostnameError
	if len(err.UnverifiedCertificates) > 0 {
		c := err.UnverifiedCertificates[0]
		switch {
		case errors.As(err, &unsuited) && unsuited.Reason == x509.Expired && now.Before(c.NotBefore):
			return fail(check, "this host's clock is wrong: timedatectl set-ntp true, or start chrony", "the certificate is valid from %s on, and it is %s here",
				c.NotBefore.UTC().Format(time.DateTime), now.UTC().Format(time.DateTime))
		case errors.As(err, &unsuited) && unsuited.Reason == x509.Expired && now.After(c.NotAfter):
			return fail(check, "renew it on the receiver's side; if it is newer than that, this host's clock is wrong", "the certificate has expired on %s, and it is %s here",
				c.NotAfter.UTC().Format(time.DateTime), now.UTC().Format(time.DateTime))
		}
	}
	if errors.As(err, &other) {
		return fail(check, "write the name that it is for in url, or tls_config: {server_name: ...}", "the certificate is for another name: %v", other)
	}
	return fail(check, "name the authority under tls_config: {ca_file: ...}", "%v", err)
}

// answered judges the answer to an empty write; body is its beginning.
func answered(check string, resp *http.Response, beginning []byte, took time.Duration) finding {
	status, body := resp.StatusCode, strings.TrimSpace(string(beginning))
	said := fmt.Sprintf("HTTP %d within %s", status, took.Round(time.Millisecond))
	if to := push.RedirectedTo(resp); to != "" {
		said += " to " + to
	}
	if body != "" && status/100 != 2 {
		said += ": " + body
	}
	switch {
	case status/100 == 2 && push.IsPage(resp.Header.Get("Content-Type"), beginning):
		return fail(check, "curl -v the same address: a captive portal or a login page in between wants a browser, or url leads to somebody's web pages",
			"%s, but with a web page: that is not a receiver", said)
	case status/100 == 2 && body != "":
		return warn(check, "curl -v the same address; receivers say nothing, so it may be a portal. Samples are kept until it is clear", "%s, with a text: %.200s", said, body)
	case status/100 == 2:
		return fine(check, "%s", said)
	case status == http.StatusProxyAuthRequired:
		return fail(check, "the proxy wants a user and a password: proxy_url: http://USER:PASSWORD@HOST:PORT", "%s", said)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fail(check, "user, password or token are not what the receiver expects: basic_auth, authorization, or headers like X-Scope-OrgID", "%s", said)
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return fail(check, "the path is not a receiver's: /api/v1/write of a Prometheus that runs with --web.enable-remote-write-receiver; /api/v1/push of Mimir", "%s", said)
	case status/100 == 3:
		return fail(check, "write the address that it redirects to as url, if that is the receiver; if it is a login page, something in between wants one", "%s", said)
	case status == http.StatusBadRequest && strings.Contains(body, "HTTPS"):
		return fail(check, "the port speaks TLS: write https://", "%s", said)
	case status == http.StatusTooManyRequests, status/100 == 5:
		return warn(check, "the receiver is overloaded or broken; samples are kept until it is well", "%s", said)
	}
	return warn(check, "it may take samples nevertheless: see the status page", "the receiver does not like an empty write: %s", said)
}
