package metric_test

import (
	"testing"

	"headend-agent/internal/metric"
)

func TestRewindAndAmend(t *testing.T) {
	s := metric.NewSet(metric.NewTable(), 3)
	for range 2 { // the second run takes the quick path
		s.Reset()
		s.Add(up, 0)
		m := s.Mark()
		for _, d := range []string{"a", "b", "c"} {
			s.Add(bytesTotal, 1, d, "")
		}
		s.AddRef(s.Intern(metric.LabelsOf("own"), nil), 1, 500)
		s.Rewind(m)
		s.Add(bytesTotal, 2, "b", "")
		s.Amend(0, 7)
		s.Amend(5, 7)
		check(t, finish(s, s.End), "@1000 test_up=7 test_bytes_total{device=\"b\"}=2\n")
		if over, repeats := s.Counts(); over != 0 || repeats != 0 {
			t.Errorf("over %d, repeats %d after a rewind; want 0, 0", over, repeats)
		}
	}
}

func TestRoom(t *testing.T) {
	s := metric.NewSet(metric.NewTable(), 1)
	if !s.Room() {
		t.Error("an empty run has no room")
	}
	s.Add(up, 1)
	if s.Room() {
		t.Error("a full run has room")
	}
	if over, _ := s.Counts(); over != 1 {
		t.Errorf("%d counted as beyond the limit, want 1", over)
	}
}
