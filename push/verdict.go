package push

import (
	"fmt"
	"net/http"
	"time"
)

type verdictKind int

const (
	accepted  verdictKind = iota // the receiver has verdict.written samples, and will not have the rest
	uncertain                    // refused, but an earlier attempt may have got through
	divide                       // refused as a whole: find out what of it
	dropped                      // refused, and not to be sent again in any form
	smaller                      // the request is too large
	tooLarge                     // the same, and it is of one sample
	doubted                      // accepted, but perhaps not by the receiver
	fallBack                     // the receiver does not know the protocol: go on with 1.0
	askV2                        // it does not take 1.0, or no longer: ask for 2.0 again
	tryV1                        // it may no longer know the protocol: try 1.0
	retry
)

// verdict is what an answer means for the request it belongs to.
type verdict struct {
	kind    verdictKind
	written int           // of accepted
	why     string        // for people; empty where nothing is wrong
	longest time.Duration // of retry, and of what else is to wait: bound of the delay
	status  int           // of fallBack

	stranger bool // it is not the receiver that answers
	silent   bool // the answer was a 2xx nevertheless: the receiver may have the samples
}

// circumstances are what has to be known of a request to judge its answer.
type circumstances struct {
	proto     *protocol
	samples   int
	auto      bool // 1.0 may be tried where the receiver does not know 2.0
	askable   bool // the request is in 1.0, and 2.0 is in use, or was not asked for lately
	elective  bool // the request is compressed by zstd, which nobody demands
	confirmed bool // the receiver has shown that it knows the protocol
	unproven  bool // the request is in 1.0, and the receiver was seen to know 2.0
	unsure    bool // an earlier attempt at this very request may have got through
	strict    bool // on_refusal: drop, the letter of the specification
	trusted   bool // a 2xx with such a body is the receiver's
}

// judge reads an answer.
func judge(a answer, c circumstances) verdict {
	v2 := c.proto == protocolV2
	told := v2 && a.written >= 0
	if a.status == 0 {
		return verdict{kind: retry, why: a.text, longest: backoffNet}
	}
	if a.status/100 == 2 {
		switch {
		case a.page: // a deviation from the letter of the specification, since a portal would swallow everything
			return verdict{kind: retry, why: fmt.Sprintf("HTTP %d with a web page%s", a.status, a.text), longest: backoffWrong, stranger: true}
		case told:
			v := verdict{kind: accepted, written: min(a.written, c.samples)}
			if v.written < c.samples {
				v.why = fmt.Sprintf("HTTP %d, but only %d of %d samples written", a.status, v.written, c.samples)
				if c.unsure { // the first attempt may have written what this one did not
					v.kind = uncertain
				}
			}
			return v
		case v2 && c.auto && !c.confirmed:
			return verdict{kind: fallBack, silent: true}
		case v2, (a.said != "" || c.unproven) && !c.trusted:
			return verdict{kind: doubted}
		}
		return verdict{kind: accepted, written: c.samples}
	}
	why := fmt.Sprintf("HTTP %d", a.status)
	if a.text != "" {
		why += ": " + a.text
	}
	knows := c.confirmed || !(v2 && c.auto || c.proto == protocolVM)
	switch {
	case c.elective && !overload(a.status): // perhaps that is to blame
		v := verdict{kind: fallBack, why: why, status: a.status}
		if a.status/100 == 5 {
			v.longest = backoffBusy
		}
		return v
	case a.status/100 == 5 || a.status == http.StatusTooManyRequests:
		return verdict{kind: retry, why: why, longest: backoffBusy}
	case a.status == http.StatusUnsupportedMediaType && (v2 && c.auto || c.proto == protocolVM):
		return verdict{kind: fallBack, why: why}
	case a.status == http.StatusUnsupportedMediaType && c.askable:
		return verdict{kind: askV2, why: why}
	case a.status == http.StatusBadRequest && !told && !knows:
		return verdict{kind: fallBack, why: why}
	case told && (refusal(a.status) || c.strict && a.status/100 == 4):
		v := verdict{kind: accepted, written: min(a.written, c.samples), why: why}
		if c.unsure { // the first attempt may have written what this one did not
			v.kind = uncertain
		}
		return v
	case a.status/100 == 4 && c.strict:
		if c.unsure {
			return verdict{kind: uncertain, why: why}
		}
		return verdict{kind: dropped, why: why}
	case refusal(a.status):
		switch {
		case a.status == http.StatusBadRequest && v2 && c.auto:
			return verdict{kind: tryV1, why: why}
		case c.unsure:
			return verdict{kind: uncertain, why: why}
		}
		return verdict{kind: divide, why: why}
	case a.status == http.StatusRequestEntityTooLarge:
		return verdict{kind: smaller, why: why}
	case a.status == http.StatusRequestTimeout:
		return verdict{kind: retry, why: why, longest: backoffBusy}
	}
	return verdict{kind: retry, why: why, longest: backoffWrong} // the envelope is wrong, not the data: keep it
}

// refusal tells the answers that speak of the data.
func refusal(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusConflict || status == http.StatusUnprocessableEntity
}
