package host

import "testing"

func TestFilefd(t *testing.T) { golden(t, "filefd") }
