package push

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// answer is what came back for one request.
type answer struct {
	status     int           // 0: none came
	class      string        // of a failure, one word; empty after a 2xx
	text       string        // of a failure, for people; secrets are taken out of it
	lost       bool          // the whole body went out and no answer came: the receiver may have it
	slow       bool          // time ran out while the body was on its way
	unheard    bool          // the connection had been idle, and nothing that was sent on it arrived
	idle       time.Duration // for how long the connection had been idle; 0: it was new
	sent       int           // bytes of the body that had left then
	begun      bool          // the body had begun to leave
	page       bool          // a 2xx with a web page
	said       string        // the beginning of the body of another 2xx, where there is one
	kind       string        // of that body
	written    int           // samples, by the 2.0 headers; -1 where the receiver did not say
	retryAfter time.Duration // what the receiver asked for
	ahead      time.Duration // of the receiver's clock; only where dated
	dated      bool
	started    time.Time
	took       time.Duration
}

const (
	maxErrorText = 1024     // bytes that are logged
	maxDrain     = 64 << 10 // bytes that are read to use the connection again
	drainTime    = 2 * time.Second
)

// read takes what matters from a response that came at wall. cancel ends the reading of a body that does not end.
func (a *answer) read(resp *http.Response, cancel context.CancelFunc, secrets *redactor, wall time.Time) {
	defer resp.Body.Close()
	a.status = resp.StatusCode
	a.written = writtenSamples(resp.Header)
	now := wall
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		a.dated, a.ahead = true, date.Sub(wall.Add(-a.took/2))
		now = date
	}
	a.retryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), now)
	defer time.AfterFunc(drainTime, cancel).Stop()
	body := io.LimitReader(resp.Body, maxDrain)
	text := secrets.redact(bodyText(body, resp.Header.Get("Content-Encoding")))
	switch contentType := resp.Header.Get("Content-Type"); {
	case a.status/100 != 2:
		a.class, a.text = "http_"+strconv.Itoa(a.status), text
		if a.status/100 == 3 {
			a.text = strings.TrimSpace(secrets.redact(elsewhere(resp)) + " " + text)
		}
	case IsPage(contentType, []byte(text)):
		a.class, a.page = "html", true
		if t := title(text); t != "" {
			a.text = ": " + strconv.Quote(t)
		}
	default:
		a.said, a.kind = text, strconv.Itoa(a.status)+" "+contentType+" "+words(text)
	}
	io.Copy(io.Discard, body)
}

// words returns the letters at the beginning of a text: what one who answers says each time, whatever numbers he puts into it.
func words(text string) string {
	const most = 64
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, text[:min(len(text), most)])
}

// mayBeSize tells failures that a smaller request may be spared.
func (a *answer) mayBeSize() bool {
	return a.status == 0 && a.begun && !a.unheard || a.status/100 == 5 || a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout
}

// ofLine tells those of them that speak of the line rather than of the receiver.
func (a *answer) ofLine() bool { return a.status == 0 || a.status == http.StatusRequestTimeout }

// bodyText reads the beginning of a body, which some proxies compress unasked.
func bodyText(body io.Reader, encoding string) string {
	if encoding == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return ""
		}
		body = z
	}
	text, _ := io.ReadAll(io.LimitReader(body, maxErrorText))
	printable := strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) && r != '\n' {
			return ' '
		}
		return r
	}, string(text))
	return strings.TrimSpace(printable)
}

// writtenSamples reads the 2.0 headers. A receiver that knows 2.0 sends at least one of them; one that is missing means 0.
func writtenSamples(h http.Header) int {
	samples := -1
	for _, what := range []string{"Samples", "Histograms", "Exemplars"} {
		n, err := strconv.ParseUint(strings.TrimSpace(h.Get("X-Prometheus-Remote-Write-"+what+"-Written")), 10, 31)
		if err != nil {
			continue
		}
		samples = max(samples, 0)
		if what == "Samples" {
			samples = int(n)
		}
	}
	return samples
}

// parseRetryAfter reads seconds or an HTTP date; what is past or unreadable is 0, what is absurd is retryAfterMax.
func parseRetryAfter(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err == nil && n <= int64(retryAfterMax/time.Second):
		return time.Duration(max(n, 0)) * time.Second
	case err == nil || errors.Is(err, strconv.ErrRange) && s[0] != '-':
		return retryAfterMax
	}
	if t, err := http.ParseTime(s); err == nil {
		return min(max(0, t.Sub(now)), retryAfterMax)
	}
	return 0
}

// fail notes why no answer came.
func (a *answer) fail(err error, secrets *redactor) {
	a.class = class(err)
	a.text = secrets.redact(bare(err).Error())
	a.unheard = errors.Is(err, errUnheard)
	if a.class == "timeout" && !a.unheard {
		a.text = "no answer within " + a.took.Round(time.Millisecond).String()
	}
}

// class names the kind of a failure in one word.
func class(err error) string {
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var operation *net.OpError
	switch {
	case errors.As(err, &dns):
		return "dns"
	case errors.As(err, &record), errors.As(err, &verify), errors.As(err, &unknown),
		errors.As(err, &operation) && operation.Op == "remote error": // a TLS alert
		return "tls"
	case errors.As(err, &operation) && operation.Op == "proxyconnect", errors.As(err, &operation) && operation.Op == "socks connect":
		return "proxy"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, errUnheard):
		return "timeout"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "reset"
	}
	return "other"
}
