package buffer

import "fmt"

// check returns what is wrong with what the destinations wait for.
func (b *Buffer) check() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.readers {
		last := uint64(0)
		for _, g := range r.gaps {
			if g.empty() || g.from < last || g.to > r.live {
				return fmt.Errorf("gaps %v before %d", r.gaps, r.live)
			}
			last = g.to
		}
		if r.live > b.next {
			return fmt.Errorf("live %d, next %d", r.live, b.next)
		}
		for _, hole := range b.missing(span{r.oldest(), b.next}) {
			lost := r.waits(hole)
			for i := range r.lanes {
				lost = lost.subtract(r.lanes[i].held)
			}
			for _, u := range r.unread {
				lost = lost.subtract(u.span)
			}
			if len(lost) > 0 && !b.blind() {
				return fmt.Errorf("%v are waited for, and not kept", lost)
			}
		}
	}
	memory := 0
	for i := range b.hot {
		memory += cost(&b.hot[i].round)
	}
	for _, s := range b.segments {
		for _, list := range [][]frame{s.dicts, s.blocks} {
			for i := range list {
				memory += len(list[i].payload)
			}
		}
	}
	if s := b.open; s != nil && len(s.blocks) == 0 {
		for i := range s.dicts {
			memory += len(s.dicts[i].payload)
		}
	}
	if memory != b.memory {
		return fmt.Errorf("%d bytes are said to be in memory, there are %d", b.memory, memory)
	}
	return nil
}
