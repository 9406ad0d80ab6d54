package push

import (
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"
)

// Not everything that answers 2xx is the receiver. The captive portal of a line, a login page or an intercepting proxy says 200 to
// whatever comes, and would swallow all. Three things give it away: a web page, the absence of 2.0's headers, and that it says 200
// even to what nobody can read.

// undecodable is no body of any kind: as snappy it copies what is before its beginning, it has neither zstd's nor gzip's magic, and
// as protobuf it is of field 0. A receiver MUST answer 4xx to it.
const undecodable = "\x07\xff\xff\xff\xff\xff"

// A receiver that knew 2.0 and has ceased to say what it has written is looked into after so many answers over so long.
const (
	silentAnswers = 5
	silentTime    = 10 * time.Minute
)

// IsPage tells whether the content type or the beginning of a body is a web page's, which no receiver answers with.
func IsPage(contentType string, beginning []byte) bool {
	switch media, _, _ := mime.ParseMediaType(contentType); media {
	case "text/html", "application/xhtml+xml":
		return true
	}
	text := strings.TrimPrefix(string(beginning), "\ufeff")
	if strings.HasPrefix(http.DetectContentType([]byte(text)), "text/html") {
		return true
	}
	text = strings.TrimSpace(text)
	return strings.HasPrefix(text, "<") && strings.Contains(strings.ToLower(text), "<html")
}

// title returns what a web page calls itself, or "".
func title(page string) string {
	lower := strings.ToLower(page)
	_, rest, found := strings.Cut(lower, "<title")
	if !found {
		return ""
	}
	_, rest, _ = strings.Cut(rest, ">")
	from := len(lower) - len(rest)
	end := strings.Index(rest, "<")
	if end < 0 || len(lower) != len(page) {
		return ""
	}
	return strings.Join(strings.Fields(page[from:from+end]), " ")
}

// identify looks into a 2xx that may not be the receiver's.
//
// To 2.0 that is one without the headers that say what was written, from a receiver that has given them, or where 2.0 is demanded:
// the receiver may have been replaced by an older one, a proxy may strip the headers, or it is a portal in plain text. The samples
// are kept; after some time a body that cannot be decoded tells which.
//
// To 1.0 it is one with a body of a kind that was not seen before, or any from where 2.0 was known until now. The receivers that are
// known answer with an empty one, and a portal has something to say. So the undecodable body goes out once for each kind,
// after which the answer has to be the same again, and never to those receivers: they would count
// and log an error at each start of each agent, and one that takes everything unread would never get anything.
func (l *lane) identify(a *answer, r *request) verdict {
	s := l.s
	if r.proto != protocolV2 {
		v := verdict{kind: retry, longest: backoffWrong, why: fmt.Sprintf("HTTP %d with a text: %s", a.status, a.said)}
		if a.said == "" {
			v.why = fmt.Sprintf("HTTP %d to 1.0, where 2.0 was known before", a.status)
		}
		if s.receiver.vouched(a.kind) {
			s.receiver.trust(a.kind)
			return verdict{kind: accepted, written: r.samples}
		}
		switch l.whoAnswers() {
		case reader: // but it may have come back only after the portal had answered
			s.receiver.vouch(a.kind)
			a.class, v.longest = "unproven", backoffNet
			v.why += "; the receiver is there now, and is asked once more"
			return v
		case anything:
			return l.portal(a, v)
		}
		a.class = "unproven"
		v.why += "; it is not known yet whether that is the receiver"
		return v
	}
	v := verdict{kind: retry, longest: backoffWrong}
	v.why = fmt.Sprintf("HTTP %d without the headers that say what was written: the receiver no longer knows 2.0, a proxy strips them, "+
		"or something else answers", a.status)
	a.class = "silent"
	if !s.receiver.state().auto {
		v.why = fmt.Sprintf("HTTP %d without the headers that say what was written: the receiver does not know 2.0, or a proxy strips them; "+
			"if so, set protobuf_message to auto or to %s", a.status, MessageV1)
		return v
	}
	if !s.receiver.silentAgain(time.Now()) {
		return v
	}
	switch l.whoAnswers() {
	case reader:
		s.receiver.forgets2()
		return verdict{kind: fallBack, why: v.why}
	case anything:
		return l.portal(a, v)
	}
	return v
}

// portal is the verdict on what answers 2xx to everything.
func (l *lane) portal(a *answer, v verdict) verdict {
	a.class, v.stranger = "portal", true
	v.why += "; the same to what nobody can read"
	l.s.receiver.impostor()
	l.s.source.SetNote(l.s.receiver.note())
	return v
}

type readership int

const (
	unknownReader readership = iota
	reader                   // it looks into bodies
	anything                 // it takes anything
)

// whoAnswers sends the undecodable body, as 1.0.
func (l *lane) whoAnswers() readership {
	l.s.stats.request(0, false, false)
	a := l.client.post(l.hard, protocolV1, []byte(undecodable), l.timeout())
	l.s.stats.answer(a, len(undecodable))
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return unknownReader // they say nothing of the body
	}
	switch a.status / 100 {
	case 2, 3:
		return anything
	case 4:
		return reader
	}
	return unknownReader
}
