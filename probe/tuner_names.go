package probe

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
)

// Tuner is a DVB frontend of this machine: N and M of /dev/dvb/adapterN/frontendM.
type Tuner struct{ Adapter, Frontend int }

// ParseTuner reads the two numbers as the kernel writes them.
func ParseTuner(adapter, frontend string) (Tuner, bool) {
	a, err := strconv.ParseUint(adapter, 10, 16)
	f, err2 := strconv.ParseUint(frontend, 10, 16)
	return Tuner{int(a), int(f)}, err == nil && err2 == nil
}

func (t Tuner) String() string { return fmt.Sprintf("adapter%d.frontend%d", t.Adapter, t.Frontend) }

// TunerNames holds what the media servers on this machine call its tuners. The probes of the servers write it and the DVB probe reads
// it, at any time.
type TunerNames struct {
	mu       sync.Mutex
	byServer map[string]map[Tuner]string
}

// Replace sets all the names that a server has; those it had before are gone. The map is the caller's no more.
func (n *TunerNames) Replace(server string, names map[Tuner]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byServer == nil {
		n.byServer = map[string]map[Tuner]string{}
	}
	n.byServer[server] = names
}

// Of returns the names that a server has, to be read only.
func (n *TunerNames) Of(server string) map[Tuner]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.byServer[server]
}

// Name is a tuner's name, "" where no server has one for it. Of several servers the first has its way, by the servers' own names.
func (n *TunerNames) Name(t Tuner) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, server := range slices.Sorted(maps.Keys(n.byServer)) {
		if name := n.byServer[server][t]; name != "" {
			return name
		}
	}
	return ""
}
