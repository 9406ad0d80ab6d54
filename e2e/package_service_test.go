package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	unit  = "headend-agent.service"
	pages = "127.0.0.1:9105"
	dropd = "/run/systemd/system/headend-agent.service.d"
)

// service is the installed agent inside the virtual machine, and the Prometheus that it pushes to.
type service struct {
	*testing.T            // of the step
	root       *testing.T // of all steps
	prom       *prometheus
}

func (s *service) sh(command string) string {
	s.Helper()
	return must(s.T, []string{"DEBIAN_FRONTEND=noninteractive"}, "sh", "-c", command)
}

// show asks systemd for a property of the service.
func (s *service) show(property string) string {
	s.Helper()
	return strings.TrimSpace(s.sh("systemctl show -P " + property + " " + unit))
}

// wait waits for a property of the service.
func (s *service) wait(property, want string) {
	s.Helper()
	patiently(s.T, 2*time.Minute, func() error {
		if got := s.show(property); got != want {
			return fmt.Errorf("%s is %s, want %s", property, got, want)
		}
		return nil
	})
}

// patiently is eventually for a machine on which asking costs a good part of its time.
func patiently(t *testing.T, atMost time.Duration, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(atMost); time.Now().Before(end); time.Sleep(time.Second) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("still, after %s: %v", atMost, err)
}

func (s *service) write(name, text string) {
	s.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
}

// dropIn changes the unit until the test ends, and starts the service anew.
func (s *service) dropIn(t *testing.T, text string) {
	t.Helper()
	s.write(dropd+"/test.conf", text)
	s.sh("systemctl daemon-reload && systemctl restart " + unit)
	t.Cleanup(func() {
		os.Remove(dropd + "/test.conf")
		must(t, nil, "sh", "-c", "systemctl daemon-reload && systemctl restart "+unit)
	})
}

// sandboxed runs a command as the service would: in its control group, its mounts, as its user.
func (s *service) sandboxed(command string) (string, error) {
	s.Helper()
	return run(s.T, nil, "sh", "-c", `echo $$ > /sys/fs/cgroup/system.slice/`+unit+`/cgroup.procs &&
		exec nsenter -t "$(systemctl show -P MainPID `+unit+`)" -m setpriv --reuid=headend-agent --regid=headend-agent --init-groups --no-new-privs --bounding-set=-all sh -c "$0"`, command)
}

// fresh waits until Prometheus has a sample that was measured from now on.
func (s *service) fresh(t *testing.T) {
	t.Helper()
	from := time.Now().UnixMilli()
	patiently(t, 2*time.Minute, func() error {
		got, err := one(s.prom.address, "node_load1")
		if err == nil && got.Value.Ms < from {
			err = fmt.Errorf("the newest sample is %d ms old", time.Now().UnixMilli()-got.Value.Ms)
		}
		return err
	})
}

// restarts is how often systemd has started the service anew by itself.
func (s *service) restarts() int {
	n, err := strconv.Atoi(s.show("NRestarts"))
	if err != nil {
		s.Fatal(err)
	}
	return n
}

func (s *service) startedAnew(t *testing.T, before int) {
	t.Helper()
	patiently(t, 2*time.Minute, func() error {
		if s.restarts() <= before {
			return errors.New("systemd has not started it anew")
		}
		return nil
	})
}

func (s *service) version(t *testing.T, want string) {
	t.Helper()
	patiently(t, time.Minute, func() error {
		text, err := get("http://" + pages + "/metrics")
		if err == nil && !strings.Contains(text, `,version="`+want+`"} 1`) {
			err = fmt.Errorf("the running agent is not %s", want)
		}
		return err
	})
}

// pushConfig is a file for conf.d. An emulated machine has time for one probe in a hurry, not for all of them.
func (s *service) pushConfig() string {
	return "probes: {loadavg: {interval: 2s}, agent: {interval: 5s}}\nremote_write: [{url: 'http://" + s.prom.write() + "', name: prom, flush_interval: 1s}]\n"
}

// complete wants the samples of a while to be there, all along and each once. A machine that is emulated on a busy one may miss a tick.
func (s *service) complete(t *testing.T, from, to time.Time) {
	t.Helper()
	text, err := get(fmt.Sprintf("http://%s/api/v1/query?query=node_load1[%dms]&time=%.3f", s.prom.address, to.Sub(from).Milliseconds(), float64(to.UnixMilli())/1000))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Data struct{ Result []found } }
	if err := json.Unmarshal([]byte(text), &answer); err != nil || len(answer.Data.Result) != 1 {
		t.Fatal(text, err)
	}
	last := from.UnixMilli()
	for _, p := range append(answer.Data.Result[0].Values, point{Ms: to.UnixMilli()}) {
		if d := p.Ms - last; d > 5500 {
			t.Errorf("no sample for %d ms, until %d ms before the end", d, to.UnixMilli()-p.Ms)
		}
		last = p.Ms
	}
}

// settled waits until all that the agent has taken is delivered; none of it may be lost in any other way.
func (s *service) settled(t *testing.T) {
	t.Helper()
	patiently(t, time.Minute, func() error {
		text, err := get("http://" + pages + "/metrics")
		if err != nil {
			return err
		}
		taken, delivered := value(text, "headend_agent_buffer_samples_appended_total"), value(text, `headend_agent_remote_write_samples_delivered_total{destination="prom"}`)
		if pending := value(text, `headend_agent_remote_write_samples_pending{destination="prom"}`); delivered == 0 || taken-delivered != pending {
			return fmt.Errorf("%v samples taken, %v delivered, %v pending", taken, delivered, pending)
		}
		return nil
	})
}

// value finds a sample in an exposition; 0 where it is not there.
func value(text, series string) float64 {
	_, rest, _ := strings.Cut(text, "\n"+series+" ")
	number, _, _ := strings.Cut(rest, "\n")
	v, _ := strconv.ParseFloat(number, 64)
	return v
}

// said finds when the service's journal had a message for the last time.
func (s *service) said(t *testing.T, message string) time.Time {
	t.Helper()
	line := lastLine(s.sh("journalctl -o short-unix --no-pager -u " + unit + " | grep -F '" + message + "'"))
	seconds, err := strconv.ParseFloat(strings.Fields(line)[0], 64)
	if err != nil {
		t.Fatal(err, line)
	}
	return time.UnixMilli(int64(seconds * 1000))
}
