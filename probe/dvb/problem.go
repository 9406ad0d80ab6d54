package dvb

import (
	"context"
	"errors"

	"headend-agent/probe/dvb/frontend"
)

// reason is the label "reason" of headend_dvb_frontend_errors_total.
type reason int

const (
	busy reason = iota
	gone
	hardwareFailed
	timeout
	denied
	implausible
	other
	reasonCount
)

var reasons = [reasonCount]string{"busy", "gone", "io", "timeout", "denied", "implausible", "other"}

// What Absent says of frontends that are well, but have nothing to show.
const (
	notInUse = "not in use, so it is left alone: nobody has it open for tuning"
	noLock   = "in use, but without a lock: its signal series are absent until it has one; check its cable, its dish, the transponder's settings"
	asleep   = "open for tuning, but asleep: nobody has tuned it yet"
	hidden   = "in use or not, nobody can tell, so it is left alone: kernel threads are hidden from this process; run it without " +
		"ProtectProc=invisible, hidepid= on /proc, or a container's own process numbers"
)

var errLate = errors.New("no answer in time")

// explain finds out what an error means: for the counter, and for those who look for the series.
func explain(err error) (reason, string) {
	if errors.Is(err, errLate) || errors.Is(err, context.DeadlineExceeded) {
		return timeout, "no answer in time: it is asked again once the call that hangs has returned; dmesg shows what the driver says"
	}
	switch frontend.CauseOf(err) {
	case frontend.Gone:
		return gone, "gone: " + err.Error() + "; in a container: give it /dev/dvb"
	case frontend.Busy:
		return busy, "another frontend of the adapter is in use, and they exclude each other: " + err.Error()
	case frontend.Denied:
		return denied, "not allowed to this user: " + err.Error() + "; put the agent's user into the group video"
	case frontend.Forbidden:
		return denied, "kept away by a device policy: " + err.Error() +
			"; add DeviceAllow=char-212 r to the unit, or give the container the device"
	case frontend.Hardware:
		return hardwareFailed, "the device does not answer its driver: " + err.Error() + "; dmesg shows what the driver says"
	}
	return other, err.Error()
}
