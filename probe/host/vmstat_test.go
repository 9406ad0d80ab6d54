package host

import "testing"

func TestVMStat(t *testing.T) { golden(t, "vmstat") }
