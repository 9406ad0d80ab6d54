package stream

// flussonicStream is the stream that is being read. Its memory is used again.
type flussonicStream struct {
	values           [streamValues]value
	name, url        []byte
	status           string
	static, disabled value
	hasStats         bool
	sources          []source // of the configuration
	running          []source // the same, as the statistics list them
	pushes           int
	pushesRunning    int
	pushBytes        value
	pushRetries      value
}

func (f *flussonicStream) clear() {
	*f = flussonicStream{name: f.name[:0], url: f.url[:0], sources: f.sources[:0], running: f.running[:0]}
}

// read takes the object of one stream, of v3 or of the old API.
func (f *flussonicStream) read(s *scanner, n *names) {
	f.clear()
	for k := range s.fields() {
		switch string(k) {
		case "name":
			if t, ok := s.text(); ok {
				f.name = append(f.name[:0], t...)
			}
		case "static":
			f.static.v, f.static.ok = s.number()
		case "disabled":
			f.disabled.v, f.disabled.ok = s.number()
		case "options":
			f.readOptions(s)
		case "inputs":
			f.sources = readSources(s, f.sources)
		case "pushes":
			f.readPushes(s)
		case "stats":
			f.readStats(s, n)
		default:
			s.skip()
		}
	}
}

func (f *flussonicStream) readOptions(s *scanner) {
	var v [2]value
	optionsTree.take(s, v[:])
	f.disabled, f.static = f.disabled.or(v[0]), f.static.or(v[1])
}

func (f *flussonicStream) readStats(s *scanner, n *names) {
	f.hasStats = s.peek() == '{'
	for k := range s.fields() {
		switch string(k) {
		case "status":
			if t, ok := s.text(); ok {
				f.status = n.status(t)
			}
		case "url":
			f.readURL(s)
		case "inputs":
			f.running = readSources(s, f.running)
		case "input":
			f.readInput(s)
		default:
			statsTree.one(s, k, f.values[:])
		}
	}
}

func (f *flussonicStream) readURL(s *scanner) {
	if t, ok := s.text(); ok {
		f.url = append(f.url[:0], t...)
	}
}

func (f *flussonicStream) readInput(s *scanner) {
	for k := range s.fields() {
		if string(k) == "url" {
			f.readURL(s)
			continue
		}
		inputTree.one(s, k, f.values[:])
	}
}

func (f *flussonicStream) readPushes(s *scanner) {
	if !s.array() {
		return
	}
	for s.item() {
		f.pushes++
		for k := range s.fields() {
			if string(k) != "stats" {
				s.skip()
				continue
			}
			f.readPush(s)
		}
	}
}

func (f *flussonicStream) readPush(s *scanner) {
	for k := range s.fields() {
		switch string(k) {
		case "status":
			if t, ok := s.text(); ok && string(t) == "running" {
				f.pushesRunning++
			}
		case "bytes":
			v, ok := s.number()
			f.pushBytes = f.pushBytes.plus(value{v, ok})
		case "retries":
			v, ok := s.number()
			f.pushRetries = f.pushRetries.plus(value{v, ok})
		default:
			s.skip()
		}
	}
}
