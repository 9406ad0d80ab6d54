package gpu

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"headend-agent/probe/gpu/nvmlchild"
)

// The test's program is its own child too: the real one, or one that misbehaves as --scripted= says.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == ChildCommand && strings.HasPrefix(os.Args[2], "--scripted=") {
		os.Exit(scriptedChild(strings.TrimPrefix(os.Args[2], "--scripted=")))
	}
	if len(os.Args) > 1 && os.Args[1] == ChildCommand {
		os.Exit(nvmlchild.Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func scriptedChild(mode string) int {
	answers := os.NewFile(nvmlchild.AnswerFD, "answers")
	send := func(r *nvmlchild.Report) { answers.Write(nvmlchild.AppendFrame(nil, r)) }
	name, arg, _ := strings.Cut(mode, ":")
	number, _ := strconv.Atoi(arg)
	switch name {
	case "refuse":
		send(&nvmlchild.Report{Code: number, Text: "no"})
		return 1
	case "deaf": // neither the end of its input nor SIGTERM moves it
		signal.Ignore(syscall.SIGTERM)
		for {
			time.Sleep(time.Hour)
		}
	case "huge":
		answers.Write([]byte{0xff, 0xff, 0xff, 0xff})
	default:
		send(&nvmlchild.Report{})
	}
	rss := uint64(10 << 20)
	for request := make([]byte, 1); ; {
		if _, err := io.ReadFull(os.Stdin, request); err != nil {
			return 0
		}
		report := &nvmlchild.Report{RSS: rss, GPUs: []nvmlchild.GPU{{PCI: "0000:3b:00.0", Readings: map[string]float64{"enc": 7}}},
			XIDs: []nvmlchild.XID{{PCI: "0000:3b:00.0", XID: 79, N: 1}}, Errors: []nvmlchild.Error{{Call: "GetFanSpeed", Code: 999, N: 1}}}
		switch name {
		case "crash":
			fmt.Fprintln(os.Stderr, "starting\nsymbol lookup error: nvmlNothing")
			answers.Write(nvmlchild.AppendFrame(nil, report)[:20])
			return 127
		case "garbage":
			answers.Write([]byte{0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff})
			continue
		case "slow":
			time.Sleep(time.Duration(number) * time.Millisecond)
		case "leak":
			rss += 1 << 20
		}
		send(report)
	}
}
