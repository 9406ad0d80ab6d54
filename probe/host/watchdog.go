package host

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
)

var (
	watchdogInfo = &metric.Desc{Name: "node_watchdog_info", Help: "A hardware or software watchdog, always 1.", Type: metric.Gauge,
		Labels: []string{"name", "options", "identity", "state", "status", "pretimeout_governor"}}
	watchdogDescs = optionalDescs(watchdogParts, watchdogInfo)
)

var watchdogParts = []optional[sysfs.WatchdogStats, int64]{
	{watchdogDesc("bootstatus", "Status of the watchdog at boot."), func(w *sysfs.WatchdogStats) *int64 { return w.Bootstatus }},
	{watchdogDesc("fw_version", "Firmware version of the watchdog."), func(w *sysfs.WatchdogStats) *int64 { return w.FwVersion }},
	{watchdogDesc("nowayout", "Whether the watchdog cannot be stopped."), func(w *sysfs.WatchdogStats) *int64 { return w.Nowayout }},
	{watchdogDesc("timeleft_seconds", "Time left before the reset."), func(w *sysfs.WatchdogStats) *int64 { return w.Timeleft }},
	{watchdogDesc("timeout_seconds", "Time from the last sign of life to the reset."), func(w *sysfs.WatchdogStats) *int64 { return w.Timeout }},
	{watchdogDesc("pretimeout_seconds", "Time before the reset at which a warning comes."), func(w *sysfs.WatchdogStats) *int64 { return w.Pretimeout }},
	{watchdogDesc("access_cs0", "Whether chip select 0 has access."), func(w *sysfs.WatchdogStats) *int64 { return w.AccessCs0 }},
}

func watchdogDesc(name, help string) *metric.Desc {
	return &metric.Desc{Name: "node_watchdog_" + name, Help: help, Type: metric.Gauge, Unit: unitOf(name), Labels: []string{"name"}}
}

// collectWatchdogs reads /sys/class/watchdog.
func collectWatchdogs(sys sysfs.FS, out *metric.Set) error {
	class, err := sys.WatchdogClass()
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read watchdogs: %w", err)
	}
	for _, name := range sortedKeys(class) {
		w := class[name]
		addOptionals(out, watchdogParts, &w, 1, name)
		out.Add(watchdogInfo, 1, name, orEmpty(w.Options), orEmpty(w.Identity), orEmpty(w.State), orEmpty(w.Status), orEmpty(w.PretimeoutGovernor))
	}
	return nil
}
