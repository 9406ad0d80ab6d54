package stream

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"headend-agent/probe"
)

// FlussonicConfig is a Flussonic server. The URL may end in the path of its API; else the API is looked for below it.
type FlussonicConfig struct {
	Config `yaml:",inline"`
	// DVRBytesAsDiskSize emits the archive's size as flussonic_stream_dvr_info_disk_size where the server no longer tells disk_size.
	DVRBytesAsDiskSize bool `yaml:"dvr_bytes_as_disk_size"`
}

// flussonic asks Flussonic's API v3, or the one before it. Which one the server has is found by asking, and asked again
// after any failure, after a change of version, and now and then.
type flussonic struct {
	dvrBytes bool
	tuners   *probe.TunerNames
	base     string // path of the API; "" while not known
	old      bool   // base is that of the API before v3
	noCards  bool   // the server does not list its DVB cards
	noStats  bool   // nor its own figures
	noSelect bool   // and knows no select
	askAt    time.Time
	version  string
	boot     stableTime // of the old API, which tells only its age

	stream flussonicStream
	record record
	stats  [serverValues]value
}

// askAgain is how long the choice of API holds.
const askAgain = time.Hour

var flussonicBases = []string{"/streamer/api/v3", "/flussonic/api/v3"}

const flussonicOldBase = "/flussonic/api"

func newFlussonic(decode func(any) error, env probe.Env) (probe.Probe, error) {
	c := FlussonicConfig{Config: defaultConfig()}
	if err := decode(&c); err != nil {
		return nil, err
	}
	return newServer("flussonic", &c.Config, &flussonic{dvrBytes: c.DVRBytesAsDiskSize, tuners: env.Tuners},
		"http://127.0.0.1", "http://127.0.0.1:8080", "http://127.0.0.1:8081", "http://127.0.0.1:8001")
}

// flussonicInstalled keeps the agent from asking other people's web servers for Flussonic's API.
func flussonicInstalled(env probe.Env) bool {
	_, err := os.Stat(env.RootFile("/etc/flussonic"))
	return err == nil
}

func (f *flussonic) isThere(ctx context.Context, c *client) bool {
	err := f.find(ctx, c)
	return err == nil || isStatus(err, http.StatusUnauthorized)
}

func (f *flussonic) read(ctx context.Context, c *client, run *run) error {
	if now := time.Now(); f.base == "" || now.After(f.askAt) {
		if err := f.find(ctx, c); err != nil {
			return err
		}
		f.askAt = now.Add(askAgain)
	}
	list := f.list
	if f.old {
		list = f.oldList
	}
	if err := list(ctx, c, run); err != nil {
		f.base = ""
		return err
	}
	version := f.version
	serverErr := f.readServer(ctx, c, run) // last, so that where it is slow it costs itself alone
	if f.version != version && version != "" {
		f.base = ""
	}
	if serverErr != nil {
		return &probe.Partial{Err: serverErr}
	}
	return nil
}

// find asks which API the server has. The stream list is what an API is known by, since it is what is needed.
func (f *flussonic) find(ctx context.Context, c *client) error {
	f.base, f.old, f.noCards, f.noStats, f.noSelect = "", false, false, false, false
	bases := flussonicBases
	if strings.HasSuffix(c.base, "/api/v3") {
		bases = []string{""}
	}
	var refused error
	for _, base := range bases {
		err := f.ask(ctx, c, base+"/streams?limit=1&select=name")
		if isStatus(err, http.StatusBadRequest) {
			err = f.ask(ctx, c, base+"/streams?limit=1")
		}
		if err == nil {
			f.base = base
			return nil
		}
		if !notHere(err) {
			return err
		}
		if refused == nil || isStatus(refused, http.StatusNotFound) {
			refused = err
		}
	}
	if bases[0] == "" {
		return refused
	}
	err := f.askOld(ctx, c)
	switch {
	case err == nil:
		f.base, f.old = flussonicOldBase, true
		return nil
	case notHere(err):
		return refused
	}
	return err
}

// ask tells whether a path has a list of streams.
func (f *flussonic) ask(ctx context.Context, c *client, path string) error {
	listed := false
	err := c.json(ctx, path, func(s *scanner) {
		for k := range s.fields() {
			listed = listed || string(k) == "streams" && s.peek() == '['
			s.skip()
		}
	})
	if err == nil && !listed {
		err = c.wrap(path, errNoStreams)
	}
	return err
}

// askOld tells whether the API before v3 has its list.
func (f *flussonic) askOld(ctx context.Context, c *client) error {
	listed := false
	err := c.json(ctx, flussonicOldBase+"/media", func(s *scanner) {
		listed = s.peek() == '['
		s.skip()
	})
	if err == nil && !listed {
		err = c.wrap(flussonicOldBase+"/media", errNoStreams)
	}
	return err
}

var errNoStreams = errors.New("answer has no list of streams")

// notHere tells answers that may mean that another path has the API: a path that is not known, not let in, or is somebody's web page.
func notHere(err error) bool {
	return errors.Is(err, errHTML) || errors.Is(err, errNoStreams) || isStatus(err, http.StatusNotFound, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented)
}
