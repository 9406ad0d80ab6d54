package host

import "testing"

func TestConntrack(t *testing.T) { golden(t, "conntrack") }
