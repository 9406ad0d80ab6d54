package main

import (
	"net/url"
	"time"

	"headend-agent/internal/config"
	"headend-agent/internal/metric"
	"headend-agent/internal/web"
	"headend-agent/probe"
)

// facts are what the status page shows besides the metrics.
func (a *agent) facts() web.Facts {
	a.mu.Lock()
	cfg, list := a.cfg, a.instances
	a.mu.Unlock()
	senders := a.destinations.Senders()
	f := web.Facts{
		Host: a.opts.env.Hostname, Version: version, Started: a.started, Config: a.opts.configFile, ConfigOK: a.reloadOK.Load(),
		Absent: absent(cfg, a.opts.env), Ring: a.ring(cfg),
	}
	explain := map[metric.SourceID]explained{}
	for _, i := range list {
		if p, ok := i.Probe.(explained); ok {
			explain[i.Source()] = p
		}
	}
	for _, s := range a.runner.States() {
		p := web.Probe{
			Name: s.Kind, Target: s.Target, Interval: web.Seconds(s.Interval.Seconds()), LastRun: s.LastRun, LastSuccess: s.LastSuccess, Error: s.LastErr,
		}
		if why := explain[probe.Instance{Kind: s.Kind, Target: s.Target}.Source()]; why != nil {
			p.Absent = why.Absent()
		}
		f.Probes = append(f.Probes, p)
	}
	for _, rw := range cfg.RemoteWrite {
		d := web.Destination{Name: rw.Destination(), URL: bareURL(rw.URL), Order: rw.Order, Flush: web.Seconds(time.Duration(rw.FlushInterval).Seconds())}
		d.Trouble = "off until a reload: a file that it needs cannot be read, as the log says"
		for _, s := range senders {
			if st := s.Status(); st.Destination == d.Name {
				d.Protocol, d.Trouble, d.Since, d.Wait, d.Said = st.Protocol, st.Trouble, st.Since, web.Seconds(st.Waiting.Seconds()), st.Refusal
				d.LastStatus, d.LastRequest = st.LastStatus, st.LastRequest
			}
		}
		f.Destinations = append(f.Destinations, d)
	}
	return f
}

// bufferSize is the size of the ring on disk, in bytes.
func (a *agent) bufferSize() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int64(a.cfg.Buffer.Size)
}

// bareURL is a URL without what may be secret in it: some receivers have tokens in the path.
func bareURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func (a *agent) ring(cfg *config.Config) web.Ring {
	p := a.buffer.Picture()
	r := web.Ring{Mode: string(p.Mode), Path: cfg.Buffer.Path, Limit: float64(cfg.Buffer.Size), Room: p.Room}
	for _, s := range p.Slots {
		r.Slots = append(r.Slots, web.Slot{Oldest: s.Oldest, Samples: s.Samples, OnDisk: s.OnDisk})
	}
	for _, c := range p.Cursors {
		r.Cursors = append(r.Cursors, web.Cursor{Destination: c.Destination, Slot: c.Slot})
	}
	return r
}

// absent lists the probes that do not run, and why.
func absent(cfg *config.Config, env probe.Env) []web.Absent {
	var all []web.Absent
	for _, k := range kinds() {
		on, off := false, false
		for _, s := range cfg.Probes {
			if s.Kind == k.Name {
				on, off = on || s.Enabled, off || !s.Enabled
			}
		}
		reason := ""
		switch {
		case on:
			continue
		case off:
			reason = web.SwitchedOff
		case k.Auto == nil:
			reason = "only where the configuration names it"
		case !k.Auto(env):
			reason = "not found on this machine"
		default:
			continue
		}
		all = append(all, web.Absent{Name: k.Name, Reason: reason})
	}
	return all
}
