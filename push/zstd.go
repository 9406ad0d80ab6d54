package push

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// With compression: auto, data goes by snappy, as 1.0 and 2.0 demand, until a receiver of 1.0 has shown that it takes zstd, which is
// half of the bytes: VictoriaMetrics' own form. An empty request asks for it, and what fails by it goes by snappy instead.

// election is what has been found out about that.
type election struct {
	elective bool      // compression: auto
	zstd     bool      // the receiver takes it
	tried    time.Time // when that was asked, or given up, last; zero: it is to be asked
	blamed   int       // failures in a row that may have been due to it
	doubt    int       // HTTP status for which it has just been given up; 0: none
}

// put has zstd asked for again, in minutes where what happened may be a passing trouble, once or twice, and otherwise in a day.
func (e *election) put(passing bool, now time.Time) {
	e.zstd, e.tried = false, now
	if passing {
		if e.blamed++; e.blamed <= 2 {
			e.tried = now.Add(backoffWrong - askAgain)
		}
	}
}

// due tells whether to ask.
func (n *negotiation) zstdDue(now time.Time) bool {
	return n.elective && n.proto == protocolV1 && n.confirmed && (now.Sub(n.tried) >= askAgain || now.Before(n.tried))
}

// zstdTaken has the data go by zstd.
func (n *negotiation) zstdTaken(now time.Time) {
	if n.proto == protocolV1 {
		n.proto, n.zstd, n.tried, n.doubt = protocolVM, true, now, 0
	}
}

// giveUpZstd goes on with snappy after a failure, of which the status is known; it tells whether that is news.
func (n *negotiation) giveUpZstd(status int, now time.Time) bool {
	if n.proto != protocolVM {
		return false
	}
	n.proto, n.doubt = protocolV1, status
	n.put(status/100 == 5, now)
	return true
}

// acquitZstd has zstd asked for as soon as something is taken: what it was given up for has happened to snappy as well.
func (n *negotiation) acquitZstd(status int) {
	if n.doubt != 0 && n.doubt == status {
		n.doubt, n.tried, n.blamed = 0, time.Time{}, 0
	}
}

// one is the form of 1.0 that the receiver takes.
func (n *negotiation) one() *protocol {
	if n.zstd {
		return protocolVM
	}
	return protocolV1
}

// note is the part of a note about zstd: z, that it is taken, or s, that it is not, and since when.
func (e *election) note() string {
	switch {
	case !e.elective || e.tried.IsZero():
		return ""
	case e.zstd:
		return fmt.Sprintf(" z%d", e.tried.Unix())
	}
	return fmt.Sprintf(" s%d", e.tried.Unix())
}

func (e *election) recall(note string, now time.Time) {
	if len(note) < 2 || !e.elective {
		return
	}
	at, err := strconv.ParseInt(note[1:], 10, 64)
	if err != nil || at > now.Unix() || at <= now.Add(-askAgain).Unix() || note[0] != 'z' && note[0] != 's' {
		return
	}
	e.zstd, e.tried = note[0] == 'z', time.Unix(at, 0)
}

// tryZstd asks the receiver by an empty request, where that is due.
func (l *lane) tryZstd(ctx context.Context) {
	s := l.s
	if !s.receiver.zstdDue() {
		return
	}
	a := l.aside(ctx, protocolVM, l.builder.packer.pack(protocolVM.encoding, nil))
	if ctx.Err() != nil {
		return
	}
	taken := a.status/100 == 2 && !a.page && (a.said == "" || s.receiver.trusts(a.kind))
	if s.receiver.askedForZstd(taken, a.status/100 != 4 || overload(a.status)) {
		s.report.compression("the receiver takes zstd", "")
	}
	s.source.SetNote(s.receiver.note())
}

// overload tells the answers to a client that is too fast or too slow, or a body that is too large: the encoding is not the point.
func overload(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status == http.StatusRequestEntityTooLarge
}
