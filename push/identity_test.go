package push

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/internal/metric"
)

// A host that is renamed in an outage sends its backlog under the new name, and says so. What the receiver may have under the old one
// is counted.
func TestHostRenamedWithABacklog(t *testing.T) {
	const said = "external labels have changed"
	for name, c := range map[string]struct {
		instance string
		backlog  bool
		lines    int
	}{
		"renamed":                   {"edge2", true, 1},
		"the same name":             {"edge1", true, 0},
		"renamed without a backlog": {"edge2", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSetup(t, config("http://x"))
				as := func(instance string) {
					var err error
					external := []metric.Label{{Name: "instance", Value: instance}, {Name: "job", Value: "headend"}}
					s.sender, err = New(s.cfg, s.source, Parts{External: external, Log: slog.New(slog.NewTextHandler(s.log, nil))})
					if err != nil {
						t.Fatal(err)
					}
				}
				as("edge1")
				s.through(t, ok)
				well := s.sender.lanes[0].client.http.Transport
				var down atomic.Bool // the receiver's answers are lost
				s.sender.lanes[0].client.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
					answer, err := well.RoundTrip(r)
					if down.Load() {
						return nil, io.ErrUnexpectedEOF
					}
					return answer, err
				})
				s.source.fill(series(2), 1, time.Now(), time.Second)
				stop := s.start()
				time.Sleep(time.Minute)
				if c.backlog {
					down.Store(true)
					s.source.fill(series(2), 1, time.Now(), time.Second)
					time.Sleep(time.Minute)
				}
				stop()
				s.source.unsure = c.backlog
				for range 2 { // the second restart has nothing to say any more
					as(c.instance)
					s.through(t, func(w http.ResponseWriter, r *http.Request, x received) {
						if !strings.Contains(x.series[0].labels, "instance="+c.instance+",") {
							t.Errorf("sent as %s", x.series[0].labels)
						}
						ok(w, r, x)
					})
					stop = s.start()
					time.Sleep(time.Minute)
					stop()
					if c.backlog {
						check(t, "samples that may come twice", s.sender.stats.risked, 2)
					}
					c.backlog = false
				}
				check(t, "lines that say so", strings.Count(s.log.String(), said), c.lines)
				check(t, "left", s.drained(), true)
				check(t, "the protocol is remembered", strings.HasPrefix(s.source.Note(), "2.0 "), true)
			})
		})
	}
}
