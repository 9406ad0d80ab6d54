package buffer

// diskLock is a mutex that may be held across disk I/O. It is a channel, so that testing/synctest knows a goroutine that waits for
// it to be blocked while the holder sleeps in a simulated disk.
type diskLock chan struct{}

func (l diskLock) Lock()   { l <- struct{}{} }
func (l diskLock) Unlock() { <-l }
