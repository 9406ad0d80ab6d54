package push

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// protocol is a message with its headers and its compression.
type protocol struct {
	name        string // as the metrics call it
	contentType string
	encoding    string
	header      string // that carries version
	version     string
	samples     int // that a request may hold
}

// zstdSamples is how many samples a request of VictoriaMetrics' holds.
const zstdSamples = 3 * maxSamples * 99 / 100

const versionHeader = "X-Prometheus-Remote-Write-Version"

var (
	protocolV1 = &protocol{"1.0", "application/x-protobuf", "snappy", versionHeader, "0.1.0", maxSamples}
	protocolV2 = &protocol{"2.0", "application/x-protobuf;proto=" + MessageV2, "snappy", versionHeader, "2.0.0", maxSamples}
	// protocolVM is 1.0 as VictoriaMetrics takes it from its own agents. It counts bytes alone, and zstd finds what is far apart.
	protocolVM = &protocol{"1.0 zstd", "application/x-protobuf", "zstd", "X-VictoriaMetrics-Remote-Write-Version", "1", zstdSamples}
)

// askAgain is how long 1.0 stays in use, and a learned size in force, before the receiver is asked anew: it may have been upgraded.
const askAgain = 24 * time.Hour

// negotiation is what has been found out about the protocol that a receiver takes.
type negotiation struct {
	auto      bool
	proto     *protocol
	confirmed bool // the receiver has answered to proto as one that knows it
	asked     time.Time
	unproven  bool // it was seen to know 2.0, and what answers to 1.0 since then may be something else
	election
}

func newNegotiation(cfg Config) negotiation {
	elected := election{elective: cfg.Compression == CompressionAuto}
	switch {
	case cfg.Compression == CompressionZstd:
		return negotiation{proto: protocolVM}
	case cfg.ProtobufMessage == MessageV1:
		return negotiation{proto: protocolV1, election: elected}
	}
	return negotiation{proto: protocolV2, auto: cfg.ProtobufMessage == MessageAuto, election: elected}
}

// choose returns the protocol for a new request. Once a day that is 2.0 where the receiver did not know it.
func (n *negotiation) choose(now time.Time) *protocol {
	if n.auto && n.proto != protocolV2 && (now.Sub(n.asked) >= askAgain || now.Before(n.asked)) {
		n.asked = now
		return protocolV2
	}
	return n.proto
}

// askable tells whether a receiver that does not take 1.0 may be asked for 2.0: not again and again, where it takes neither.
func (n *negotiation) askable(now time.Time) bool {
	return n.auto && n.proto == protocolV1 && (now.Sub(n.asked) >= backoffWrong || now.Before(n.asked))
}

// confirm notes that the receiver knows p; it tells whether that is news.
func (n *negotiation) confirm(p *protocol, now time.Time) bool {
	if p != n.proto && p != protocolV2 { // the other lane has just learned better
		return false
	}
	news := n.proto != p || !n.confirmed
	n.proto, n.confirmed, n.unproven, n.doubt = p, true, false, 0
	if p == protocolVM {
		n.blamed = 0
	}
	if p == protocolV2 { // 1.0 is unsettled, and with it what it is compressed by
		n.zstd, n.tried = false, time.Time{}
	}
	if p == protocolV2 && (news || now.Sub(n.asked) > askAgain/2) {
		n.asked = now
	}
	return news
}

// fallBack goes on with 1.0 where 2.0 is not known; it tells whether that is news.
func (n *negotiation) fallBack(now time.Time) bool {
	news := n.proto == protocolV2
	if news {
		n.unproven = n.unproven || n.confirmed
	}
	n.proto, n.confirmed, n.asked = n.one(), false, now
	return news
}

// The note that outlives a restart, within 64 bytes: "2.0 1763800000 450000" is the protocol, when it was found (Unix time), and the
// size of body that the receiver takes (0: none learned). A fourth field is about zstd.

func (n *negotiation) note(size int) string {
	name := protocolV1.name
	if n.proto == protocolV2 || n.unproven {
		name = protocolV2.name
	}
	return fmt.Sprintf("%s %d %d%s", name, n.asked.Unix(), size, n.election.note())
}

// recall reads a note; one that it cannot read, or that the configuration overrules, leaves things as they are.
func (n *negotiation) recall(note string, now time.Time) (size int) {
	f := strings.Fields(note)
	if len(f) < 3 || len(f) > 4 {
		return 0
	}
	if len(f) == 4 {
		n.election.recall(f[3], now)
	}
	if n.proto == protocolV1 { // the only one that may be used
		n.proto = n.one()
	}
	at, err1 := strconv.ParseInt(f[1], 10, 64)
	size, err2 := strconv.Atoi(f[2])
	if err1 != nil || err2 != nil || at > now.Unix() || now.Unix()-at >= int64(askAgain/time.Second) {
		n.unproven = n.auto && f[0] == protocolV2.name
		return 0
	}
	if n.auto {
		switch f[0] {
		case protocolV1.name:
			n.proto, n.asked = n.one(), time.Unix(at, 0)
		case protocolV2.name:
			n.confirmed, n.asked = true, time.Unix(at, 0)
		}
	}
	return max(0, size)
}
