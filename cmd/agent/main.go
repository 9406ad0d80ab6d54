// Command agent is headend-agent: it probes a streaming edge server, keeps what it finds and pushes it by remote write.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"headend-agent/probe/gpu"
)

// command is one word of the command line.
type command struct {
	name, args, help string
	run              func(args []string, stdout, stderr io.Writer) int
}

func commands() []command {
	return []command{
		{"run", "", "probe, keep and push (the default)", runCommand},
		{"demo", "", "the same, pushing to a receiver of its own on loopback: nothing to install", demoCommand},
		{"probe", "[NAME...]", "run probes once and print what they find", probeCommand},
		{"check-config", "", "read the configuration, name what is wrong with it", checkCommand},
		{"buffer", "inspect|export DIR", "look into a buffer on disk, or write its samples as OpenMetrics text", bufferCommand},
		{"doctor", "", "try everything that the agent needs, say what is wrong and what helps", doctorCommand},
		{"version", "", "print the version", versionCommand},
	}
}

func main() { os.Exit(dispatch(os.Args[1:], os.Stdout, os.Stderr)) }

// dispatch runs the command that the first argument names.
func dispatch(args []string, stdout, stderr io.Writer) int {
	name := "run"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	} else if len(args) > 0 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
		usage(stdout)
		return 0
	} else if len(args) > 0 && slices.Contains([]string{"-version", "--version"}, args[0]) {
		name = "version"
	}
	if name == gpu.ChildCommand {
		return gpuChild(args, stdout, stderr)
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(args, stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "headend-agent: there is no command %q\n", name)
	usage(stderr)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: headend-agent [COMMAND] [--FLAG=VALUE...]")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-24s %s\n", strings.TrimSpace(c.name+" "+c.args), c.help)
	}
	fmt.Fprintln(w, "\nheadend-agent COMMAND --help lists the flags of a command.")
}
