package host

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var unameInfo = &metric.Desc{Name: "node_uname_info", Help: "What uname(2) says of the system, value 1.", Type: metric.Gauge,
	Labels: []string{"sysname", "release", "version", "machine", "nodename", "domainname"}}

// uname asks uname(2).
type uname struct{ call func(*unix.Utsname) error }

func newUname(func(any) error, probe.Env) (probe.Probe, error) { return &uname{unix.Uname}, nil }

func (p *uname) Collect(_ context.Context, out *metric.Set) error {
	var u unix.Utsname
	if err := p.call(&u); err != nil {
		return fmt.Errorf("call uname: %w", err)
	}
	out.Add(unameInfo, 1, unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Version[:]),
		unix.ByteSliceToString(u.Machine[:]), unix.ByteSliceToString(u.Nodename[:]), unix.ByteSliceToString(u.Domainname[:]))
	return nil
}
