package frontend

import (
	"errors"

	"golang.org/x/sys/unix"
)

// enotsupp is the kernel's own errno for a call that a driver does not have. It is not meant to be seen, but is.
const enotsupp = unix.Errno(524)

// Cause says what an error of this package means.
type Cause uint8

// The causes.
const (
	Other       Cause = iota
	Gone              // the device is not there, or not any more
	Busy              // another frontend of the adapter is in use, and they exclude each other
	Denied            // the node's owner, group and mode do not let this user read it
	Forbidden         // a device policy (a unit's sandbox, a container) keeps all its users out
	Idle              // nobody has tuned it
	Unsupported       // the driver has no such reading
	Hardware          // the device does not answer its driver
)

// CauseOf finds out what an error means.
func CauseOf(err error) Cause {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return Other
	}
	switch errno {
	case unix.ENOENT, unix.ENODEV, unix.ENXIO:
		return Gone
	case unix.EBUSY:
		return Busy
	case unix.EACCES:
		return Denied
	case unix.EPERM:
		return Forbidden
	case unix.EAGAIN:
		return Idle
	case enotsupp, unix.EOPNOTSUPP, unix.ENOTTY, unix.ENOSYS, unix.EINVAL:
		return Unsupported
	case unix.EIO, unix.EREMOTEIO, unix.ETIMEDOUT:
		return Hardware
	}
	return Other
}
