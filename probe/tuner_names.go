package probe

import (
	"maps"
	"slices"
	"sync"
)

// Tuner is a DVB frontend of this machine: N and M of /dev/dvb/adapterN/frontendM.
type Tuner struct{ Adapter, Frontend int }

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
