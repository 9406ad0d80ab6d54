package host

import "testing"

func TestEntropy(t *testing.T) { golden(t, "entropy") }
