package push

import (
	"time"

	"headend-agent/internal/metric"
)

// helps decides which requests carry a family's help text. In a request with one sample to a series the texts are a fifth of all
// bytes, and no receiver needs them each time: they go with one batch now and then. Type and unit go with every one.
type helps struct {
	batch uint64
	sent  map[*metric.Desc]helped
}

type helped struct {
	batch uint64
	at    time.Time
}

const (
	helpEvery    = 30 * time.Minute
	helpFamilies = 20_000 // beyond, all are forgotten and sent again
)

// next begins a batch: all its requests, repeats included, treat a family alike.
func (h *helps) next() { h.batch++ }

// text returns the help text that goes along with a series of the family now, or "".
func (h *helps) text(d *metric.Desc) string {
	last, known := h.sent[d]
	if known && last.batch == h.batch {
		return shortHelp(d.Help)
	}
	now := time.Now()
	if known && now.Sub(last.at) < helpEvery {
		return ""
	}
	if h.sent == nil || len(h.sent) >= helpFamilies {
		h.sent = map[*metric.Desc]helped{}
	}
	h.sent[d] = helped{h.batch, now}
	return shortHelp(d.Help)
}
