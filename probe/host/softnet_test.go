package host

import "testing"

func TestSoftnet(t *testing.T) { golden(t, "softnet") }
