package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// probeTimeout bounds one probe of the command line.
const probeTimeout = 10 * time.Second

func probeCommand(args []string, stdout, stderr io.Writer) int {
	var o options
	names, err := o.parse("probe", args, stderr)
	if err != nil {
		return exitCode(err)
	}
	cfg, err := o.config()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	for _, name := range names {
		if !slices.Contains(kindNames(), name) {
			fmt.Fprintf(stderr, "there is no probe %q; there are: %s\n", name, strings.Join(kindNames(), ", "))
			return 2
		}
	}
	list, err := instances(cfg, o.env, o.logger(stderr))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	var text metric.Text
	table := metric.NewTable()
	code := 0
	ran := map[string]bool{}
	for _, i := range list {
		if len(names) > 0 && !slices.Contains(names, i.Kind) {
			continue
		}
		ran[i.Kind] = true
		if err := once(i, table, text.Add); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", i.Source(), err)
			code = 1
		}
		if p, ok := i.Probe.(explained); ok {
			for _, why := range p.Absent() {
				fmt.Fprintf(stderr, "%s: %s\n", i.Source(), why)
			}
		}
	}
	for _, name := range names {
		if !ran[name] {
			fmt.Fprintf(stderr, "%s: not found on this machine, or switched off; name it under probes: in %s\n", name, o.configFile)
			code = 1
		}
	}
	text.WriteTo(stdout)
	return code
}

// explained is a probe that can say, after a run, why something that it looks for is absent.
type explained interface{ Absent() []string }

// once runs a probe and yields what it finds.
func once(i probe.Instance, table *metric.Table, yield func(metric.Round)) error {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	set := metric.NewSet(table, probe.SeriesLimit)
	done := make(chan error, 1)
	go func() { done <- i.Probe.Collect(ctx, set) }()
	var err error
	select {
	case err = <-done:
		if err != nil && !errors.As(err, new(*probe.Partial)) {
			return err
		}
	case <-ctx.Done():
		return fmt.Errorf("no answer within %s", probeTimeout)
	}
	set.End(metric.Round{Source: i.Source(), TimeMs: time.Now().UnixMilli()}, yield)
	return err
}
