package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"headend-agent/internal/config"
	"headend-agent/internal/metric"
	"headend-agent/probe"
	"headend-agent/probe/dvb"
	"headend-agent/probe/gpu"
	"headend-agent/probe/host"
	"headend-agent/probe/scrape"
	"headend-agent/probe/stream"
)

// kinds lists every probe there is.
func kinds() []probe.Kind {
	return slices.Concat(host.Kinds(), gpu.Kinds(), dvb.Kinds(), stream.Kinds(), scrape.Kinds())
}

func kindNames() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.Name)
	}
	return append(names, selfKind)
}

// targeted is a probe that reads one of several possible targets.
type targeted interface{ Target() string } // an address without secrets

// named is a probe whose series bear the name of its target.
type named interface{ Name() string }

// instances makes the probes that the configuration asks for, and those it does not mention that are found on this machine.
func instances(c *config.Config, env probe.Env, log *slog.Logger) ([]probe.Instance, error) {
	sections := map[string][]*config.Section{}
	for i := range c.Probes {
		s := &c.Probes[i]
		sections[s.Kind] = append(sections[s.Kind], s)
	}
	env.Tuners = &probe.TunerNames{} // of these probes alone; after a reload they hand it on themselves
	var all []probe.Instance
	seen := map[string]string{}
	env.Owners = map[string]string{}
	add := func(k probe.Kind, s *config.Section) error {
		env := env
		env.Log = log.With("probe", k.Name)
		p, err := k.New(s.Decode, env)
		if err == nil {
			err = s.Unread()
		}
		if err != nil {
			missing := mounts(env)
			if missing == nil {
				return s.Place(err)
			}
			p = broken{missing} // no mistake of the configuration: it costs the probes that need it
		}
		i := probe.Instance{Kind: k.Name, Probe: p, Interval: s.Interval, Timeout: s.Timeout}
		if i.Interval == 0 {
			i.Interval = time.Duration(c.Global.Interval)
		}
		if t, ok := p.(targeted); ok {
			i.Target = t.Target()
		}
		if n, ok := p.(named); ok {
			name := k.Name + " " + n.Name()
			if first, twice := seen[name]; twice {
				return fmt.Errorf("%s: its series would be those of %s; give each a name, like name: left", s.Where(), first)
			}
			seen[name] = s.Where()
		}
		if first, twice := seen[string(i.Source())]; twice {
			return fmt.Errorf("%s: the same target as in %s; remove one", s.Where(), first)
		}
		seen[string(i.Source())] = s.Where()
		for _, d := range k.Descs {
			if strings.HasPrefix(d.Name, "flussonic_") {
				env.Owners[d.Name] = k.Name
			}
		}
		all = append(all, i)
		return nil
	}
	for _, k := range kinds() {
		found := sections[k.Name]
		if len(found) == 0 && k.Auto != nil && k.Auto(env) {
			found = []*config.Section{config.NoSection(k.Name)}
		}
		for _, s := range found {
			if !s.Enabled {
				continue
			}
			if err := add(k, s); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// mounts tells whether the kernel's file systems are where they should be.
func mounts(env probe.Env) error {
	for _, dir := range []string{env.Proc, env.Sys} {
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("the kernel's file system is missing: %w", err)
		}
	}
	return nil
}

// broken is a probe that cannot be made on this machine.
type broken struct{ err error }

func (b broken) Collect(context.Context, *metric.Set) error { return b.err }
