//go:build linux && cgo && !nonvml

package nvmlchild

import "github.com/NVIDIA/go-nvml/pkg/nvml"

const (
	eventWaitMs  = 1  // what is there is there; 0 is not documented
	eventsAtOnce = 32 // the rest waits for the next report; a report takes maxGPUs kinds
)

// watch asks for the critical errors of a device. They queue until they are taken.
func (d *driver) watch(g *gpu) {
	if d.events != nil {
		d.failed("RegisterEvents", g.dev.RegisterEvents(nvml.EventTypeXidCriticalError, d.events))
	}
}

// collectXIDs takes the events that have come.
func (d *driver) collectXIDs() {
	for i := 0; d.events != nil && i < eventsAtOnce; i++ {
		e, code := d.events.Wait(eventWaitMs)
		if code != nvml.SUCCESS {
			if code != nvml.ERROR_TIMEOUT {
				d.failed("EventSetWait", code)
			}
			return
		}
		for _, g := range d.gpus {
			if e.EventType == nvml.EventTypeXidCriticalError && e.Device == g.dev {
				d.xids[xid{g.pci, e.EventData}]++
			}
		}
	}
}
