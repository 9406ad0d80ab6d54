package gpu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// engine is one of a GPU's engines, as its PMU counts.
type engine struct {
	class  string // as the hardware's manuals say: vcs, vecs, rcs, bcs, ccs
	active event  // ns, or ticks where there is a total
	total  event  // nil for i915
	last   busy
	at     time.Time
}

// pmu is the performance monitoring unit of an Intel GPU: it sees all that the GPU does, whoever asked for it.
type pmu struct {
	engines []*engine
	dead    bool // none of them could be read the last time
}

// integrated is where Intel's GPUs are that are part of a processor.
const integrated = "0000:00:02.0"

// openPMU opens the counters of a card's engines.
func openPMU(sys string, c card, open openEvent) (*pmu, error) {
	units := filepath.Join(sys, "bus/event_source/devices")
	dir := filepath.Join(units, c.driver+"_"+strings.ReplaceAll(c.pci, ":", "_"))
	if _, err := os.Stat(dir); err != nil && c.driver == "i915" && c.pci == integrated {
		dir = filepath.Join(units, "i915") // the name of an integrated one
	}
	kind, err := strconv.ParseUint(readLine(dir, "type"), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("GPU %s has no performance counters: %w", c.pci, err)
	}
	cpu, _, _ := strings.Cut(readLine(dir, "cpumask"), ",")
	cpu, _, _ = strings.Cut(cpu, "-")
	on, _ := strconv.Atoi(cpu) // CPU 0 where there is no such file
	p := &pmu{}
	one := func(config uint64) (event, error) { return open(uint32(kind), config, on) }
	if c.driver == "xe" {
		err = p.openXe(dir, one)
	} else {
		err = p.openI915(dir, one)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// openI915 opens what events/CLASSn-busy describes as config=0x2000.
func (p *pmu) openI915(dir string, open func(uint64) (event, error)) error {
	events, err := os.ReadDir(filepath.Join(dir, "events"))
	if err != nil {
		return fmt.Errorf("list performance counters: %w", err)
	}
	for _, e := range events {
		name, isBusy := strings.CutSuffix(e.Name(), "-busy")
		class := strings.TrimRight(name, "0123456789")
		text, isConfig := strings.CutPrefix(readLine(filepath.Join(dir, "events"), e.Name()), "config=")
		config, err := strconv.ParseUint(text, 0, 64)
		if !isBusy || class == "" || !isConfig || err != nil {
			continue
		}
		active, err := open(config)
		if err != nil {
			return err
		}
		p.engines = append(p.engines, &engine{class: class, active: active})
	}
	return nil
}

// xeClasses are by the driver's number of the engine class.
var xeClasses = []string{"rcs", "bcs", "vcs", "vecs", "ccs"}

// openXe tries the engines one by one: the driver refuses those that there are not.
func (p *pmu) openXe(dir string, open func(uint64) (event, error)) error {
	active, err1 := xeEvent(dir, "engine-active-ticks")
	total, err2 := xeEvent(dir, "engine-total-ticks")
	if err1 != nil || err2 != nil { // before Linux 6.15
		return fmt.Errorf("GPU has no engine counters: %w", errors.Join(err1, err2))
	}
	gtAt, classAt, instanceAt := fieldAt(dir, "gt", 60), fieldAt(dir, "engine_class", 20), fieldAt(dir, "engine_instance", 12)
	var last error
	for gt := range uint64(2) {
		for class, name := range xeClasses {
			for instance := range uint64(8) {
				where := gt<<gtAt | uint64(class)<<classAt | instance<<instanceAt
				a, err := open(active | where)
				if err != nil {
					last = err
					continue
				}
				t, err := open(total | where)
				if err != nil {
					a.Close()
					last = err
					continue
				}
				p.engines = append(p.engines, &engine{class: name, active: a, total: t})
			}
		}
	}
	if len(p.engines) == 0 {
		return last
	}
	return nil
}

// xeEvent reads events/NAME, like event=0x02.
func xeEvent(dir, name string) (uint64, error) {
	text, _ := strings.CutPrefix(readLine(filepath.Join(dir, "events"), name), "event=")
	n, err := strconv.ParseUint(text, 0, 12)
	if err != nil {
		return 0, fmt.Errorf("parse event %s: %w", name, err)
	}
	return n << fieldAt(dir, "event", 0), nil
}

// fieldAt reads from format/NAME, like config:12-19, where in the configuration a field begins.
func fieldAt(dir, name string, otherwise uint64) uint64 {
	text, _ := strings.CutPrefix(readLine(filepath.Join(dir, "format"), name), "config:")
	text, _, _ = strings.Cut(text, "-")
	n, err := strconv.ParseUint(text, 10, 6)
	if err != nil {
		return otherwise
	}
	return n
}

// read returns how busy each engine was since the last call, by class; nothing at the first.
func (p *pmu) read() map[string][]float64 {
	now := time.Now()
	shares := map[string][]float64{}
	p.dead = true
	for _, e := range p.engines {
		var b busy
		var err error
		if b.n, err = e.active.Read(); err != nil {
			continue
		}
		if e.total != nil {
			if b.total, err = e.total.Read(); err != nil {
				continue
			}
		}
		p.dead = false
		if !e.at.IsZero() {
			shares[e.class] = append(shares[e.class], min(b.since(e.last, float64(now.Sub(e.at))), 1))
		}
		e.last, e.at = b, now
	}
	return shares
}

func (p *pmu) close() {
	for _, e := range p.engines {
		e.active.Close()
		if e.total != nil {
			e.total.Close()
		}
	}
	p.engines = nil
}
