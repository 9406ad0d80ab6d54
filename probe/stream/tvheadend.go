package stream

import (
	"context"
	"errors"
	"net/http"
	"regexp"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// TvheadendConfig is a Tvheadend server. Its basic_auth is used for Digest too, and needs the right "admin".
type TvheadendConfig struct {
	Config `yaml:",inline"`
}

func newTvheadend(decode func(any) error, _ probe.Env) (probe.Probe, error) {
	c := TvheadendConfig{defaultConfig()}
	if err := decode(&c); err != nil {
		return nil, err
	}
	if err := c.HTTPClientConfig.Validate(); err != nil {
		return nil, err
	}
	auth := c.HTTPClientConfig.BasicAuth
	c.HTTPClientConfig.BasicAuth = nil // or it would be sent before anybody asks, in the clear
	s, err := newServer("tvheadend", &c.Config, &tvheadend{}, "http://127.0.0.1:9981")
	if err == nil && auth != nil {
		s.client.http.Transport = &digest{next: s.client.http.Transport, auth: auth}
	}
	return s, err
}

func inputDesc(name string, typ metric.Type, unit metric.Unit, help string) *metric.Desc {
	return &metric.Desc{Name: name, Help: help, Type: typ, Unit: unit, Labels: []string{"server", "input", "adapter", "frontend"}}
}

// The server's own view of its tuners, be they of this machine or of the network. The labels adapter and frontend join it to the
// readings of the DVB probe, which has names of its own for them.
var (
	dvbStrengthDBm   = inputDesc("headend_dvb_input_signal_strength_dbm", metric.Gauge, metric.DBm, "Signal strength.")
	dvbStrengthRatio = inputDesc("headend_dvb_input_signal_strength_ratio", metric.Gauge, metric.Ratio, "Signal strength, relative.")
	dvbCNRDecibels   = inputDesc("headend_dvb_input_cnr_decibels", metric.Gauge, metric.Decibels, "Carrier to noise ratio.")
	dvbCNRRatio      = inputDesc("headend_dvb_input_cnr_ratio", metric.Gauge, metric.Ratio, "Signal quality, relative.")
	dvbBlockErrors   = inputDesc("headend_dvb_input_block_errors_total", metric.Counter, metric.None, "Blocks that could not be corrected.")
	inputTransport   = inputDesc("headend_server_input_transport_errors_total", metric.Counter, metric.None, "Packets that the demodulator marked as broken.")
	inputContinuity  = inputDesc("headend_server_input_continuity_errors_total", metric.Counter, metric.None, "Gaps in the packet counters of the input.")

	inputDescs = []*metric.Desc{dvbStrengthDBm, dvbStrengthRatio, dvbCNRDecibels, dvbCNRRatio, dvbBlockErrors, inputTransport, inputContinuity}
)

// tvheadend asks the HTTP API of Tvheadend. Its streams are the multiplexes that are tuned.
type tvheadend struct {
	mux    []byte
	record record
}

const (
	tSubs = iota
	tSignal
	tSignalScale
	tSNR
	tSNRScale
	tUncorrected
	tBPS
	tTransport
	tContinuity
	tunerValues
)

var tunerTree = tree{
	"subs": leaf(tSubs), "signal": leaf(tSignal), "signal_scale": leaf(tSignalScale), "snr": leaf(tSNR), "snr_scale": leaf(tSNRScale),
	"unc": leaf(tUncorrected), "bps": leaf(tBPS), "te": leaf(tTransport), "cc": leaf(tContinuity),
}

// Scales of a signal reading; 0 is none.
const (
	scaleRelative = 1 // 0 to 65535
	scaleDecibel  = 2 // thousandths
)

// isThere asks for what needs no login.
func (p *tvheadend) isThere(ctx context.Context, c *client) bool {
	return c.json(ctx, "/api/serverinfo", (*scanner).skip) == nil
}

func (p *tvheadend) read(ctx context.Context, c *client, run *run) error {
	if err := p.info(ctx, c, run); err != nil {
		return err
	}
	if err := p.entries(ctx, c, "/api/status/inputs", func(s *scanner) { p.input(s, run) }); err != nil {
		return err
	}
	viewers := 0
	err := p.entries(ctx, c, "/api/status/subscriptions", func(s *scanner) {
		viewers++
		s.skip()
	})
	if err != nil {
		return &probe.Partial{Err: err}
	}
	r := serverRecord{viewers: some(float64(viewers))}
	r.add(run)
	return nil
}

func (p *tvheadend) info(ctx context.Context, c *client, run *run) error {
	var version string
	err := c.json(ctx, "/api/serverinfo", func(s *scanner) {
		for k := range s.fields() {
			if string(k) == "sw_version" {
				s.string(&version)
			} else {
				s.skip()
			}
		}
	})
	if isStatus(err, http.StatusNotFound) {
		err = nil
	}
	if version != "" {
		run.out.Add(serverInfo, 1, run.server, "tvheadend", version, "")
	}
	return err
}

// entries reads one of the status lists.
func (p *tvheadend) entries(ctx context.Context, c *client, path string, read func(*scanner)) error {
	listed := false
	err := c.json(ctx, path, func(s *scanner) {
		for k := range s.fields() {
			if string(k) != "entries" {
				s.skip()
				continue
			}
			if listed = s.array(); listed {
				for s.item() {
					read(s)
				}
			}
		}
	})
	if err == nil && !listed {
		err = c.wrap(path, errors.New("answer has no entries"))
	}
	return err
}

// adapterName is how Tvheadend names a tuner of Linux: card, adapter, kind and frontend.
var adapterName = regexp.MustCompile(`^.* #(\d+) : [^#]* #(\d+)$`)

func (p *tvheadend) input(s *scanner, run *run) {
	var v [tunerValues]value
	var input, adapter, frontend string
	p.mux = p.mux[:0]
	for k := range s.fields() {
		switch string(k) {
		case "input":
			s.string(&input)
		case "stream":
			if t, ok := s.text(); ok {
				p.mux = append(p.mux[:0], t...)
			}
		default:
			tunerTree.one(s, k, v[:])
		}
	}
	if m := adapterName.FindStringSubmatch(input); m != nil {
		adapter, frontend = m[1], m[2]
	}
	add := func(d *metric.Desc, v value) { addSome(run.out, d, v, run.server, cutName(input), adapter, frontend) }
	switch v[tSignalScale].v {
	case scaleRelative:
		add(dvbStrengthRatio, v[tSignal].over(65535))
	case scaleDecibel:
		add(dvbStrengthDBm, v[tSignal].over(1000))
	}
	switch v[tSNRScale].v {
	case scaleRelative:
		add(dvbCNRRatio, v[tSNR].over(65535))
	case scaleDecibel:
		add(dvbCNRDecibels, v[tSNR].over(1000))
	}
	add(dvbBlockErrors, v[tUncorrected])
	add(inputTransport, v[tTransport])
	add(inputContinuity, v[tContinuity])
	name := run.take(p.mux)
	if name == nil {
		return
	}
	p.record = record{name: name.label, bitrate: v[tBPS], viewers: v[tSubs], inputErrors: v[tTransport].plus(v[tContinuity])}
	if v[tBPS].ok {
		p.record.alive = some(0)
		if v[tBPS].v > 0 {
			p.record.alive = some(1)
		}
	}
	run.add(&p.record)
}
