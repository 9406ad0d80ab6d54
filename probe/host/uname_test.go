package host

import (
	"testing"

	"golang.org/x/sys/unix"

	"headend-agent/probe/probetest"
)

func TestUname(t *testing.T) {
	p := probetest.New(t, kind(t, "uname"), probetest.NoConfig, probetest.Env(t, "testdata/uname")).(*uname)
	p.call = func(u *unix.Utsname) error {
		copy(u.Sysname[:], "Linux")
		copy(u.Release[:], "6.1.0-37-amd64")
		copy(u.Version[:], "#1 SMP Debian 6.1.140-1")
		copy(u.Machine[:], "x86_64")
		copy(u.Nodename[:], "edge-1")
		copy(u.Domainname[:], "(none)")
		return nil
	}
	got, err := probetest.Collect(p)
	if err != nil {
		t.Fatal(err)
	}
	probetest.Golden(t, "testdata/uname/golden.txt", got)
}
