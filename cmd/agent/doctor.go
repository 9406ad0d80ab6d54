package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"headend-agent/internal/config"
	"headend-agent/internal/metric"
	"headend-agent/push"
)

// How a check went.
const (
	levelOK   = "ok"
	levelWarn = "warn"
	levelFail = "fail"
)

// finding is the result of one check.
type finding struct {
	Level  string `json:"level"`
	Check  string `json:"check"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

func fine(check, found string, args ...any) finding {
	return finding{Level: levelOK, Check: check, Found: fmt.Sprintf(found, args...)}
}

func warn(check, remedy, found string, args ...any) finding {
	return finding{levelWarn, check, fmt.Sprintf(found, args...), remedy}
}

func fail(check, remedy, found string, args ...any) finding {
	return finding{levelFail, check, fmt.Sprintf(found, args...), remedy}
}

func doctorCommand(args []string, stdout, stderr io.Writer) int {
	var o options
	var asJSON bool
	_, err := o.parse("doctor", args, stderr, func(f *flag.FlagSet) { f.BoolVar(&asJSON, "json", false, "print the findings as JSON") })
	if err != nil {
		return exitCode(err)
	}
	all := examine(context.Background(), &o)
	if asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		e.Encode(all)
	} else {
		printFindings(stdout, all)
	}
	if slices.ContainsFunc(all, func(f finding) bool { return f.Level == levelFail }) {
		return 1
	}
	return 0
}

// examine makes every check: those of the machine in order, probes and destinations beside each other.
func examine(ctx context.Context, o *options) []finding {
	cfg, err := o.config()
	if err != nil {
		return append([]finding{fail("configuration", "headend-agent check-config names each mistake with its line", "%v", err)}, examineMachine(o, config.Default())...)
	}
	all := []finding{fine("configuration", "%s", o.configFile)}
	if _, err := os.Stat(o.configFile); err != nil {
		all = []finding{fine("configuration", "defaults; there is no %s", o.configFile)}
	}
	all = append(all, examineMachine(o, cfg)...)
	var probes []finding
	var series []metric.Ref
	destinations := make([][]finding, len(cfg.RemoteWrite))
	var work sync.WaitGroup
	work.Go(func() { probes, series = examineProbes(cfg, o) })
	for i, rw := range cfg.RemoteWrite {
		work.Go(func() { destinations[i] = examineDestination(ctx, rw) })
	}
	work.Wait()
	all = append(all, probes...)
	if len(cfg.RemoteWrite) == 0 {
		all = append(all, warn("destinations", "add remote_write: [{url: ...}] to "+o.configFile, "none: samples can only be pulled from /metrics"))
	}
	all = append(all, slices.Concat(destinations...)...)
	external := externalLabels(cfg, o.env.Hostname)
	for _, rw := range cfg.RemoteWrite {
		if lines := push.Oversized(rw, external, series); len(lines) > 0 {
			all = append(all, warn(rw.Destination()+": labels", oversizedRemedy, "%s", oversized(lines)))
		}
	}
	return all
}

// printFindings prints a table, each remedy below what it is for.
func printFindings(w io.Writer, all []finding) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	count := map[string]int{}
	for _, f := range all {
		count[f.Level]++
		lines := strings.Split(f.Found, "\n")
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Level, f.Check, lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(t, "\t\t%s\n", line)
		}
		if f.Remedy != "" {
			fmt.Fprintf(t, "\t\t→ %s\n", f.Remedy)
		}
	}
	t.Flush()
	fmt.Fprintf(w, "\n%d ok, %d warn, %d fail\n", count[levelOK], count[levelWarn], count[levelFail])
}
