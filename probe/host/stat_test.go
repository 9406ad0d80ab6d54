package host

import "testing"

func TestStat(t *testing.T) { golden(t, "stat") }
