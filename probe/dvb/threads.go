package dvb

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"headend-agent/probe"
)

// threads finds the kernel's tuning threads in /proc. There is one for each frontend that somebody has open for tuning, and
// only for those; opening any other frontend can wake it, or keep its sibling from being tuned.
type threads struct {
	proc    string
	others  map[string]bool // processes that were something else the last time
	forgets time.Time       // when others is to be looked at again
}

// Numbers of processes come again, rarely, so what others is made of is not believed for ever.
const believe = time.Minute

// thread is the name of a frontend's tuning thread.
func thread(p probe.Tuner) string { return fmt.Sprintf("kdvb-ad-%d-fe-%d", p.Adapter, p.Frontend) }

// find returns the process number of each tuning thread by its name, and whether kernel threads can be seen at all: a unit with
// ProtectProc=invisible, a mount with hidepid=, and a container show none.
func (t *threads) find() (tuning map[string]string, visible bool, err error) {
	dir, err := os.Open(t.proc)
	if err != nil {
		return nil, false, fmt.Errorf("look for tuning threads: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, false, fmt.Errorf("look for tuning threads: %w", err)
	}
	known := t.others
	if now := time.Now(); now.After(t.forgets) {
		known, t.forgets = nil, now.Add(believe)
	}
	t.others = make(map[string]bool, len(names))
	tuning = map[string]string{}
	for _, pid := range names {
		if pid[0] < '0' || pid[0] > '9' {
			continue
		}
		if known[pid] {
			t.others[pid] = true
			continue
		}
		switch comm := t.comm(pid); {
		case strings.HasPrefix(comm, "kdvb-ad-"):
			tuning[comm] = pid
		case comm == "kthreadd": // also for a moment the name of each new kernel thread
			visible = true
		case comm != "":
			t.others[pid] = true
		}
	}
	return tuning, visible, nil
}

// comm is the name of a process; "" where it has ended.
func (t *threads) comm(pid string) string {
	b, _ := os.ReadFile(filepath.Join(t.proc, pid, "comm"))
	return strings.TrimSuffix(string(b), "\n")
}
