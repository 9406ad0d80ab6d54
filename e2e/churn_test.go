package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Series come and go until the buffer's dictionary begins anew, with rounds in the WAL, while all is delivered; and
// one day the agent is killed in an outage.
func TestSeriesChurn(t *testing.T) {
	for _, inside := range []string{"TestInsideShrinkingTarget", "TestInsideContainers"} {
		t.Run(inside, func(t *testing.T) {
			t.Parallel()
			inNamespace(t, inside)
		})
	}
}

// lives fails the test where the agent has ended.
func (a *agent) lives(t testing.TB) {
	t.Helper()
	select {
	case <-a.done:
		t.Fatalf("the agent has ended: %v", a.cmd.ProcessState)
	default:
	}
}

// A target shows many thousand series for a while, and few after.
func TestInsideShrinkingTarget(t *testing.T) {
	insideNamespace(t)
	runtimeDir(t)
	l := startLedger(t)
	target := wide(t, func(answer int) int {
		if answer < 4 {
			return 9000
		}
		return 20 + answer%10 // the lists of series that come now are new ones
	})
	a := startAgent(t, config(l.address)+"probes:\n  scrape: [{job_name: wide, url: "+target+"}]\n")
	l.has(t, 25)
	a.lives(t)
	l.stand(down)
	time.Sleep(3 * time.Second)
	a.kill()
	restartAgent(t, a.config)
	l.stand(nil)
	l.everyRoundOnce(t, 2)
}

// Containers come and go, each with a pair of network devices.
func TestInsideContainers(t *testing.T) {
	insideNamespace(t)
	runtimeDir(t)
	l := startLedger(t)
	a := startAgent(t, config(l.address))
	l.has(t, 2)
	const generations, pairs = 12, 40
	for generation := range generations {
		if generation == generations-2 {
			l.stand(down)
		}
		var come, leave strings.Builder
		for i := range pairs {
			n := generation*pairs + i
			fmt.Fprintf(&come, "link add va%d type veth peer name vb%d\n", n, n)
			fmt.Fprintf(&leave, "link del va%d\n", n)
		}
		batch(t, come.String())
		time.Sleep(1500 * time.Millisecond)
		batch(t, leave.String())
		a.lives(t)
	}
	a.kill()
	restartAgent(t, a.config)
	l.stand(nil)
	l.everyRoundOnce(t, 2)
	if n := len(l.of(`__name__="node_network_receive_bytes_total"`, `device="v`)); n < generations*pairs {
		t.Errorf("only %d devices were seen: nothing was proven", n)
	}
}

// batch runs commands of ip.
func batch(t *testing.T, commands string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "commands")
	if err := os.WriteFile(file, []byte(commands), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, nil, "ip", "-batch", file)
}
