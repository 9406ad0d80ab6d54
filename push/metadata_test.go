package push

import (
	"testing"

	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// By 2.0 every series of every request says all that is known of its family. A receiver keeps what came last, for minutes only: told
// the text now and then, it would show the family twice, with and without, and then without.
func TestMetadataIsComplete(t *testing.T) {
	f, url := serve(t, ok)
	s := newSetup(t, config(url, v2Only))
	s.deliver(t)
	s.deliver(t)
	s.again(t)
	s.deliver(t)
	n := 0
	for _, x := range f.requests() {
		for _, y := range x.series {
			n++
			check(t, "type", y.typ, int(writev2.Metadata_METRIC_TYPE_COUNTER))
			check(t, "help", y.help, "Bytes.")
			check(t, "unit", y.unit, "bytes")
		}
	}
	check(t, "series", n, 30)
}
