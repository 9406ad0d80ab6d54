package main

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells systemd how the agent is, where it was started as a service of Type=notify.
type notifier struct {
	log      *slog.Logger
	watchdog *time.Ticker // nil where systemd does not watch
	stuck    string       // why the watchdog is not fed
}

func newNotifier(log *slog.Logger) *notifier {
	n := &notifier{log: log}
	period, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog is not fed", "error", err)
	} else if period > 0 {
		n.watchdog = time.NewTicker(period / 4)
	}
	return n
}

// due ticks when the watchdog wants to be fed.
func (n *notifier) due() <-chan time.Time {
	if n.watchdog == nil {
		return nil
	}
	return n.watchdog.C
}

func (n *notifier) say(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		n.log.Warn("cannot tell systemd", "state", lines[0], "error", err)
	}
}

// ready tells that the agent probes; what becomes of it on the network does not count.
func (n *notifier) ready(status string) { n.say(daemon.SdNotifyReady, "STATUS="+status) }

// reloading tells that the configuration is being read again. ready ends that.
func (n *notifier) reloading() {
	n.say(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
}

// stopping tells that the end has begun.
func (n *notifier) stopping() {
	if n.watchdog != nil {
		n.watchdog.Stop()
	}
	n.say(daemon.SdNotifyStopping, "STATUS=Delivering what is left.")
}

// feed feeds the watchdog unless some part is stuck.
func (n *notifier) feed(stuck string) {
	if stuck != n.stuck {
		n.stuck = stuck
		if stuck == "" {
			n.log.Info("all parts of the agent work again")
		} else {
			n.log.Error("a part of the agent is stuck; where systemd watches it will start the agent anew", "part", stuck)
		}
	}
	if stuck == "" {
		n.say(daemon.SdNotifyWatchdog)
	}
}

const (
	runnerSlack = time.Minute      // for a machine that hardly gets to work
	senderSlack = 20 * time.Minute // more than the longest pause that a receiver may ask for, and an attempt
)

// stuck names a part that has not moved for longer than it ever may, "" where there is none. It goes through the locks of all parts, so
// where one of them never opens nobody answers at all. A disk that hangs, a source or a receiver that never answers do not count:
// a new start would not help them.
func (a *agent) stuck() string {
	if source, late := a.runner.Overdue(); late > runnerSlack {
		return fmt.Sprintf("probe %s, late by %s", source, late.Round(time.Second))
	}
	a.buffer.Stats()
	for _, s := range a.destinations.Senders() {
		if idle := s.Idle(); idle > senderSlack+2*s.Flush {
			return fmt.Sprintf("sender %s, idle for %s with samples waiting", s.Destination, idle.Round(time.Second))
		}
	}
	return ""
}

// status is the line that `systemctl status` shows.
func (a *agent) status() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.destinations.Senders()) == 0 {
		return "Probing; nowhere to send: name a receiver under remote_write in " + a.opts.configFile
	}
	var names []string
	for _, rw := range a.cfg.RemoteWrite {
		names = append(names, rw.Destination())
	}
	return "Probing; pushing to " + strings.Join(names, ", ")
}
