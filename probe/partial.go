package probe

// Partial is the error of a run that failed at its target but whose samples stand, like up 0: what the run did not add
// goes stale, what it added is kept.
type Partial struct{ Err error }

func (p *Partial) Error() string { return p.Err.Error() }

func (p *Partial) Unwrap() error { return p.Err }
