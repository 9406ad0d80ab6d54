package push

import "time"

// Status is a destination as a person would want to see it. It holds no secret.
type Status struct {
	Destination string
	Protocol    string // 1.0, 2.0 or 1.0 zstd
	Order       string
	Confirmed   bool          // the receiver has shown that it knows the protocol
	LastStatus  int           // HTTP status of the last request; 0 where no answer came
	LastRequest time.Time     // its end; zero before the first
	Trouble     string        // why nothing gets through, "" when all is well
	Since       time.Time     // of the trouble
	Waiting     time.Duration // until the next attempt
	ClockOffset time.Duration // how far the receiver's clock is ahead, within about a second; 0 where not known
	HighestSent time.Time     // the newest sample that was delivered; zero before the first
	Suspects    int           // series that the receiver has refused
	Muted       int           // those of them that are left out for a while
}

// Status returns a snapshot.
func (s *Sender) Status() Status {
	n := s.receiver.state()
	st := Status{
		Destination: s.cfg.Destination(), Protocol: n.proto.name, Order: s.cfg.Order, Confirmed: n.confirmed, Waiting: s.backoff.left(),
	}
	var class string
	class, st.Trouble, st.Since = s.report.now()
	if class == "" {
		st.Trouble, st.Since = "", time.Time{}
	}
	st.Suspects, st.Muted = s.suspects.counts(time.Now())
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	st.LastStatus, st.LastRequest, st.ClockOffset = s.stats.status, s.stats.at, s.stats.ahead
	if s.stats.newest > 0 {
		st.HighestSent = time.UnixMilli(s.stats.newest)
	}
	return st
}
