package host

import (
	"regexp"
	"strings"
	"testing"

	"headend-agent/internal/metric"
)

// checkNames fails where what a probe made of any bytes could not be sent.
func checkNames(t *testing.T, s *metric.Set) {
	s.End(metric.Round{}, func(r metric.Round) {
		for _, ref := range r.Series {
			if !metricName.MatchString(ref.Labels.Name()) {
				t.Errorf("no name: %q", ref.Labels.Name())
			}
		}
	})
}

var metricName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func FuzzNetstat(f *testing.F) {
	f.Add("TcpExt: A B\nTcpExt: 1 2\n", "Ip6InOctets 5\n")
	f.Add("Tcp: A\nUdp: 1\n", "6 7\n")
	f.Add("Tcp: A\nTcp: 1 2\n", "")
	f.Fuzz(func(t *testing.T, pairs, lines string) {
		p := &netstat{fields: newKernelFields(netstatPrefix, netstatFiles, regexp.MustCompile(""))}
		s := metric.NewSet(metric.NewTable(), 1000)
		if err := p.addPairs([]byte(pairs), s); err == nil && strings.Count(pairs, "\n") > 1 && s.Len() > strings.Count(pairs, " ") {
			t.Errorf("%d samples of %q", s.Len(), pairs)
		}
		p.addLines([]byte(lines), s)
		checkNames(t, s)
	})
}

func FuzzValueLines(f *testing.F) {
	f.Add("MemTotal: 16 kB\nActive(anon): 5 kB\nHugePages_Total: 0\n")
	f.Add("pgfault 1\n\noom_kill -1e999")
	f.Fuzz(func(t *testing.T, text string) {
		s := metric.NewSet(metric.NewTable(), 1000)
		(&memory{known: map[string]*metric.Desc{}}).parse([]byte(text), s)
		(&vmstat{fields: newKernelFields(vmstatPrefix, vmstatFile, regexp.MustCompile(""))}).parse([]byte(text), s)
		checkNames(t, s)
	})
}

func FuzzUdev(f *testing.F) {
	f.Add("S:x\nE:ID_SERIAL=a=b\nE:=\nE:X")
	f.Fuzz(func(t *testing.T, text string) {
		for name, value := range parseUdev([]byte(text)) {
			if !strings.Contains(text, "E:"+name+"="+value) {
				t.Errorf("made up %q=%q of %q", name, value, text)
			}
		}
	})
}
