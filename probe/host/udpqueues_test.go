package host

import "testing"

func TestUDPQueues(t *testing.T) { golden(t, "udp_queues") }
