package host

import "testing"

func TestLoadavg(t *testing.T) { golden(t, "loadavg") }
