package host

import "testing"

func TestNetwork(t *testing.T) { golden(t, "network") }
