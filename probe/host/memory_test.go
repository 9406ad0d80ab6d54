package host

import "testing"

func TestMemory(t *testing.T) { golden(t, "memory") }
