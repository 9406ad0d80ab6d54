package push

// isOutdated tells whether the batch is to be read again, because a step of the clock has changed its times. They stay
// where a receiver has or may have some of it, for it would get samples of one moment by two clocks.
func (l *lane) isOutdated() bool {
	select {
	case <-l.batch.Outdated:
		return !l.unsure && l.out.Delivered+l.out.Refused == 0
	default:
		return false
	}
}
