package push

import (
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/internal/metric"
)

// A family's help text goes with every request of one batch, and then not for a while.
func TestHelpGoesNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h helps
		a, b := &metric.Desc{Help: "A."}, &metric.Desc{Help: "B."}
		h.next()
		check(t, "first request", h.text(a), "A.")
		check(t, "its next series, or its repeat", h.text(a), "A.")
		h.next()
		time.Sleep(helpEvery - time.Second)
		check(t, "a later batch", h.text(a), "")
		check(t, "a family that is new", h.text(b), "B.")
		h.next()
		time.Sleep(time.Second)
		check(t, "half an hour later", h.text(a), "A.")
		check(t, "the other, not yet", h.text(b), "")
	})
}
