package host

import "testing"

func TestSchedstat(t *testing.T) { golden(t, "schedstat") }
