package host

import "testing"

func TestCPUFreq(t *testing.T) { golden(t, "cpufreq") }
