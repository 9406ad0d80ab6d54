package host

import "testing"

func TestNetclass(t *testing.T) { golden(t, "netclass") }
