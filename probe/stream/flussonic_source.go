package stream

import "bytes"

// maxSources bounds what is remembered of a stream's sources.
const maxSources = 64

// source is one of a stream's inputs, in the order in which they are tried.
type source struct {
	url                     []byte
	priority, bytes, active value
}

var sourceTree = tree{"active": leaf(0), "bytes": leaf(1)}

// readSources takes a list of inputs, with their statistics below stats or, in the statistics themselves, beside the rest.
func readSources(s *scanner, into []source) []source {
	if !s.array() {
		return into
	}
	for s.item() {
		if len(into) == maxSources {
			s.skip()
			continue
		}
		if len(into) < cap(into) {
			into = into[:len(into)+1]
			into[len(into)-1] = source{url: into[len(into)-1].url[:0]}
		} else {
			into = append(into, source{})
		}
		into[len(into)-1].read(s)
	}
	return into
}

func (x *source) read(s *scanner) {
	for k := range s.fields() {
		switch string(k) {
		case "url":
			if t, ok := s.text(); ok {
				x.url = append(x.url[:0], t...)
			}
		case "priority":
			x.priority.v, x.priority.ok = s.number()
		case "active":
			x.active.v, x.active.ok = s.number()
		case "bytes":
			x.bytes.v, x.bytes.ok = s.number()
		case "stats":
			var v [2]value
			sourceTree.take(s, v[:])
			x.active, x.bytes = x.active.or(v[0]), x.bytes.or(v[1])
		default:
			s.skip()
		}
	}
}

// onBackup tells whether a source other than the first choice is active; absent with fewer than two sources, or if none is
// active. A smaller priority is tried earlier, then the order counts.
func (f *flussonicStream) onBackup() value {
	list := f.sources
	if len(list) < 2 {
		list = f.running
	}
	if len(list) < 2 {
		return value{}
	}
	active := -1
	for i := range list {
		on := list[i].active
		if i < len(f.running) {
			on = on.or(f.running[i].active)
		}
		if on.v == 1 {
			active = i
			break
		}
	}
	for i := range list {
		if active < 0 && len(f.url) > 0 && bytes.Equal(list[i].url, f.url) {
			active = i
		}
	}
	if active < 0 {
		return value{}
	}
	for i := range list {
		if i == active {
			continue
		}
		mine, its := list[active].priority, list[i].priority
		ranked := mine.ok && its.ok && mine.v != its.v
		if ranked && its.v < mine.v || !ranked && i < active {
			return some(1)
		}
	}
	return some(0)
}

// sourceBytes is the sum over the inputs: the last resort for bytes in, since it drops where one of them restarts.
func (f *flussonicStream) sourceBytes() (sum value) {
	for i := range f.sources {
		sum = sum.plus(f.sources[i].bytes)
	}
	return sum
}
