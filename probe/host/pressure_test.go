package host

import "testing"

func TestPressure(t *testing.T) { golden(t, "pressure") }
