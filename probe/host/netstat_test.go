package host

import "testing"

func TestNetstat(t *testing.T) { golden(t, "netstat") }
