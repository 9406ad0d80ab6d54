package push

import (
	"fmt"
	"net/http"
	"time"
)

type verdictKind int

const (
	accepted  verdictKind = iota
	refused               // final: never send it again
	downgrade             // encode it as 1.0
	retry
)

// verdict is what an answer means for the request it belongs to.
type verdict struct {
	kind    verdictKind
	why     string
	longest time.Duration // bound of the delay before a retry
}

// judge reads an answer. auto tells that 1.0 may be tried where the receiver does not know 2.0.
func judge(a answer, p protocol, auto bool) verdict {
	v2 := p == protocolV2
	switch {
	case a.status == 0:
		return verdict{retry, a.err.Error(), backoffNet}
	case a.status/100 == 2:
		if v2 && auto && a.written < 0 {
			return verdict{kind: downgrade}
		}
		return verdict{kind: accepted}
	}
	why := fmt.Sprintf("HTTP %d", a.status)
	if a.text != "" {
		why += ": " + a.text
	}
	switch a.status {
	case http.StatusUnsupportedMediaType:
		if v2 && auto {
			return verdict{kind: downgrade}
		}
	case http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity:
		if v2 && auto && a.written < 0 {
			return verdict{kind: downgrade}
		}
		return verdict{refused, why, 0}
	}
	if a.status/100 == 5 || a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout {
		return verdict{retry, why, backoffBusy}
	}
	return verdict{retry, why, retryAfterMax} // the envelope is wrong, not the data: keep it
}
