package host

import "testing"

func TestSockstat(t *testing.T) { golden(t, "sockstat") }
