// Package frontend reads Linux DVB frontends (/dev/dvb/adapterN/frontendM) beside the program that has tuned them: what they
// are, whether they have a lock, and the signal statistics of DVB API version 5, or version 3 where a driver has no others.
//
// Every call can take long: the kernel lets one caller at a time, its own tuning thread included, talk to the hardware, and
// some drivers take seconds. No call can be cut short. Opening a frontend that nobody has tuned can wake its hardware, and a
// frontend that shares its hardware with another keeps that from being opened: close at once.
package frontend

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Device is an open frontend. It is for one goroutine at a time.
type Device struct {
	path  string
	ioctl func(request uintptr, arg unsafe.Pointer) error
	close func() error
}

// Open opens a frontend for reading only, which leaves it to any other program to tune it.
func Open(path string) (*Device, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &Device{
		path: path,
		ioctl: func(request uintptr, arg unsafe.Pointer) error {
			_, err := retry(func() (int, error) {
				_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
				if errno != 0 {
					return 0, errno
				}
				return 0, nil
			})
			return err
		},
		close: func() error { return unix.Close(fd) },
	}, nil
}

// retry repeats a call that a signal has cut short, a few times.
func retry(call func() (int, error)) (n int, err error) {
	for range 10 {
		if n, err = call(); err != unix.EINTR {
			break
		}
	}
	return n, err
}

// Close ends the use of the device.
func (d *Device) Close() error { return d.close() }

func (d *Device) ask(request uintptr, arg unsafe.Pointer, what string) error {
	if err := d.ioctl(request, arg); err != nil {
		return fmt.Errorf("read %s of %s: %w", what, d.path, err)
	}
	return nil
}

// Properties asks for several properties in one call (FE_GET_PROPERTY), at most 64, in the order of the commands. A kernel that
// does not know one of them refuses all, with EINVAL.
func (d *Device) Properties(commands ...Command) ([]Property, error) {
	if len(commands) == 0 || len(commands) > maxProperties {
		return nil, fmt.Errorf("ask %s for %d properties: %w", d.path, len(commands), unix.EINVAL)
	}
	raw := make([]dtvProperty, len(commands))
	for i, c := range commands {
		raw[i].cmd = uint32(c)
	}
	arg := dtvProperties{num: uint32(len(raw)), props: &raw[0]}
	var pin runtime.Pinner // the kernel follows the pointer in arg
	pin.Pin(arg.props)
	defer pin.Unpin()
	if err := d.ask(feGetProperty, unsafe.Pointer(&arg), "properties"); err != nil {
		return nil, err
	}
	answers := make([]Property, len(raw))
	for i := range raw {
		answers[i] = Property{Command: commands[i], union: raw[i].union}
	}
	return answers, nil
}

// Info asks what the frontend is (FE_GET_INFO).
func (d *Device) Info() (Info, error) {
	var raw feInfo
	if err := d.ask(feGetInfo, unsafe.Pointer(&raw), "information"); err != nil {
		return Info{}, err
	}
	return raw.decode(), nil
}

// Status asks how far the frontend has got with its signal (FE_READ_STATUS). Many drivers refresh their statistics only here,
// so ask for it before them. Drivers may report a status, even a lock, after their tuner has let go.
func (d *Device) Status() (Status, error) {
	v, err := d.word(feReadStatus, "status")
	return Status(v), err
}

// Strength is the signal's strength by API version 3, in a unit that only the driver's author knows; for most 0 to 65535.
func (d *Device) Strength() (uint16, error) { return d.half(feReadStrength, "signal strength") }

// SNR is the signal-to-noise ratio by API version 3: tenths of a decibel, or parts of 65535, or of 255, by driver.
func (d *Device) SNR() (uint16, error) { return d.half(feReadSNR, "signal-to-noise ratio") }

// BER is the bit error rate by API version 3, over a time that only the driver's author knows.
func (d *Device) BER() (uint32, error) { return d.word(feReadBER, "bit error rate") }

// Uncorrected counts uncorrected blocks by API version 3; some drivers count from the last call.
func (d *Device) Uncorrected() (uint32, error) {
	return d.word(feReadUncorrected, "uncorrected blocks")
}

func (d *Device) half(request uintptr, what string) (v uint16, err error) {
	err = d.ask(request, unsafe.Pointer(&v), what)
	return v, err
}

func (d *Device) word(request uintptr, what string) (v uint32, err error) {
	err = d.ask(request, unsafe.Pointer(&v), what)
	return v, err
}
