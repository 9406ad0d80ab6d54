package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"headend-agent/internal/config"
	"headend-agent/internal/metric"
	"headend-agent/internal/web"
	"headend-agent/probe"
)

// examineProbes runs every probe once, all at the same time. It returns their series, too.
func examineProbes(cfg *config.Config, o *options) (all []finding, series []metric.Ref) {
	list, err := instances(cfg, o.env, o.logger(io.Discard))
	if err != nil {
		return []finding{fail("probes", "headend-agent check-config names each mistake with its line", "%v", err)}, nil
	}
	results := make([]result, len(list))
	var work sync.WaitGroup
	for i := range list {
		work.Go(func() { results[i] = try(list[i]) })
	}
	work.Wait()
	reading, idle, servers, cards := 0, 0, 0, false
	for i, r := range results {
		name := strings.TrimSpace(list[i].Kind + " " + list[i].Target)
		cards = cards || strings.HasPrefix(list[i].Kind, "gpu_")
		switch {
		case r.err != nil:
			all = append(all, fail(name, remedy(list[i].Kind, r.err.Error()), "%v", r.err))
		case len(r.series) > 0:
			reading++
			series = append(series, r.series...)
		default:
			idle++
		}
		if r.servers != "" {
			servers++
			all = append(all, fine("media server", "%s", r.servers))
		}
		all = append(all, r.hardware(name)...)
	}
	if !cards {
		why := web.NoGPU
		for _, a := range absent(cfg, o.env) {
			if strings.HasPrefix(a.Name, "gpu_") && a.Reason == web.SwitchedOff {
				why = a.Name + " is " + a.Reason
			}
		}
		all = append(all, fine("gpu", "%s", why))
	}
	if servers == 0 {
		all = append(all, warn("media server", `name it under probes:, like flussonic: [{url: "http://127.0.0.1:80"}]`, "none was found on this machine"))
	}
	return append([]finding{fine("probes", "%d read something, %d have nothing to read here", reading, idle)}, all...), series
}

// result is what one run of a probe gave.
type result struct {
	series  []metric.Ref
	servers string   // media servers that answered
	devices int      // GPUs and tuners that are there
	silent  []string // those that could not be read
	absent  []string // "device: why; what helps", or without the latter where all is well
	err     error
}

// hardware tells of devices. A machine without any is well; one whose devices say nothing may not be.
func (r result) hardware(name string) []finding {
	var all []finding
	absent := slices.Clone(r.absent)
	for _, d := range r.silent {
		const look = "dmesg shows what the driver says; ls -l the device whether the agent's user may read it (groups video and render)"
		if i := slices.IndexFunc(absent, func(why string) bool { return strings.HasPrefix(why, d+": ") }); i >= 0 {
			why, help, _ := strings.Cut(absent[i], "; ")
			all = append(all, fail(name, cmp.Or(help, look), "%s", why))
			absent = slices.Delete(absent, i, i+1)
			continue
		}
		all = append(all, fail(name, look, "%s is there and cannot be read", d))
	}
	if n := r.devices - len(r.silent); n > 0 {
		all = append(all, fine(name, "%d found", n))
	}
	for _, line := range absent {
		why, help, _ := strings.Cut(line, "; ")
		if r.devices == 0 || help == "" {
			all = append(all, fine(name, "%s", why))
		} else {
			all = append(all, warn(name, help, "%s", why))
		}
	}
	return all
}

func try(i probe.Instance) (r result) {
	var streams int
	var names []string
	r.err = once(i, metric.NewTable(), func(round metric.Round) {
		r.series = append(r.series, round.Series...)
		for n, s := range round.Series {
			switch s.Desc().Name {
			case "headend_stream_alive":
				streams++
			case "headend_stream_up":
				if round.Values[n] == 1 {
					names = append(names, s.Labels.Get("server"))
				}
			case "headend_gpu_up":
				r.devices++
				if round.Values[n] == 0 {
					r.silent = append(r.silent, "GPU "+s.Labels.Get("gpu")+" "+s.Labels.Get("pci"))
				}
			case "headend_dvb_frontend_info":
				r.devices++
			case "headend_dvb_frontend_up":
				if round.Values[n] == 0 {
					r.silent = append(r.silent, "adapter"+s.Labels.Get("adapter")+".frontend"+s.Labels.Get("frontend"))
				}
			}
		}
	})
	if p, ok := i.Probe.(explained); ok && r.err == nil {
		r.absent = p.Absent()
	}
	slices.Sort(names)
	if len(names) > 0 {
		r.servers = fmt.Sprintf("%s answers, with %d streams", strings.Join(names, ", "), streams)
	}
	return r
}

// remedy says what helps against an error, as far as its words tell.
func remedy(kind, text string) string {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	switch {
	case has("401", "403", "nauthorized", "password"):
		return "give user and password: " + kind + ": [{url: ..., basic_auth: {username: ..., password_file: ...}}]; reading rights (view_auth) are enough"
	case has("connection refused"):
		return "start the server, or give its address and port: " + kind + ": [{url: ...}]"
	case has("no such host"):
		return "check the name in the url; getent hosts NAME"
	case has("permission denied", "operation not permitted"):
		return "run doctor as the agent's user (sudo -u headend-agent headend-agent doctor); then give that user the group that ls -l shows"
	case has("did not answer", "no answer", "deadline", "timeout"):
		return "the source is too slow or stuck: dmesg; or give " + kind + ": {timeout: ...} more"
	case has("expired"):
		return "renew the server's certificate; if it is new, this host's clock is wrong: timedatectl set-ntp true"
	case has("404", "HTML"):
		return "something else answers there: give the port of the server's API: " + kind + ": [{url: ...}]"
	case has("certificate", "x509"):
		return "name the authority under tls_config: {ca_file: ...}"
	}
	return "headend-agent probe " + kind + " shows it again"
}
