package stream

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headend-agent/probe"
	"headend-agent/probe/probetest"
)

// machine is a /proc that a test writes.
type machine struct {
	t   *testing.T
	dir string
}

func newMachine(t *testing.T) machine {
	m := machine{t, t.TempDir()}
	m.write("proc/stat", "cpu 1 2 3 4\nbtime 1700000000\n")
	return m
}

func (m machine) write(path, text string) {
	m.t.Helper()
	path = filepath.Join(m.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// process adds one that started so many ticks after boot, used 100 ticks of CPU, and has fds open files.
func (m machine) process(pid int, comm string, args []string, ticks, fds int) {
	m.t.Helper()
	dir := fmt.Sprintf("proc/%d/", pid)
	m.write(dir+"comm", comm+"\n")
	m.write(dir+"cmdline", strings.Join(args, "\x00")+"\x00")
	m.write(dir+"stat", fmt.Sprintf("%d (%s) S 1 1 1 0 -1 4194560 1 2 3 4 50 20 20 10 20 0 7 0 %d 1000000 256 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
		pid, comm, ticks))
	m.write(dir+"limits", "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 4096                 files     \n")
	for i := range fds {
		m.write(dir+fmt.Sprintf("fd/%d", i), "")
	}
}

func (m machine) probe(config string) probe.Probe {
	m.t.Helper()
	for _, k := range Kinds() {
		if k.Name == "server_process" {
			decode := probetest.NoConfig
			if config != "" {
				decode = fromYAML(config)
			}
			return probetest.New(m.t, k, decode, probetest.Env(m.t, m.dir))
		}
	}
	return nil
}

func family(got map[string]float64, name string) string {
	var all []string
	for s, v := range got {
		if rest, ok := strings.CutPrefix(s, "headend_server_"+name); ok {
			all = append(all, fmt.Sprintf("%s %v", rest, v))
		}
	}
	return strings.Join(all, ", ")
}

func TestServerProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.process(10, "nginx", []string{"nginx: master process"}, 1000, 3)
		m.process(11, "nginx", []string{"nginx: worker process"}, 2000, 4)
		m.process(12, "nginxother", []string{"/usr/bin/nginxother"}, 2000, 1)
		p := m.probe("process: nginx\nname: web")
		got, err := readings(t, p)
		if err != nil {
			t.Fatal(err)
		}
		page := float64(os.Getpagesize())
		for series, want := range map[string]float64{
			"processes": 2, "process_cpu_seconds_total": 2, "process_resident_memory_bytes": 512 * page, "process_threads": 14, "process_open_fds": 7,
			"process_max_fds": 1024, "process_start_time_seconds": 1700000010,
		} {
			if v, ok := got[`headend_server_`+series+`{server="web"}`]; !ok || v != want {
				t.Errorf("%s is %v, want %v", series, v, want)
			}
		}
		// A number given out again is another process; one that comes is found within a minute.
		m.process(11, "other", []string{"other"}, 9000, 1)
		if got, _ := readings(t, p); family(got, "processes") != `{server="web"} 1` {
			t.Errorf("after one went: %v", got)
		}
		m.process(13, "nginx", []string{"nginx"}, 9000, 1)
		time.Sleep(lookAgain)
		if got, _ := readings(t, p); family(got, "processes") != `{server="web"} 2` {
			t.Errorf("after one came: %v", got)
		}
		for _, pid := range []string{"10", "13"} {
			os.RemoveAll(filepath.Join(m.dir, "proc", pid))
		}
		if got, err := readings(t, p); len(got) != 0 || err != nil {
			t.Errorf("after all went: %v, %v", got, err)
		}
	})
}

func TestServerProcessesAreFound(t *testing.T) {
	m := newMachine(t)
	m.process(10, "beam.smp", []string{"/opt/flussonic/bin/beam.smp", "-name", "flussonic@host"}, 1, 1)
	m.process(11, "beam.smp", []string{"beam.smp", "-name", "rabbit"}, 1, 1)
	m.process(12, "mediamtx", []string{"./mediamtx"}, 1, 1)
	m.process(13, "main", []string{"/usr/bin/tvheadend", "-u", "hts"}, 1, 1)
	m.process(14, "nginx", []string{"nginx"}, 1, 1)
	m.process(15, "srs", nil, 1, 1)
	m.write("proc/15/cmdline", "") // of the kernel
	got, err := readings(t, m.probe(""))
	if err != nil || count(got, "headend_server_processes") != 3 {
		t.Errorf("%v: %s", err, family(got, "processes"))
	}
	m.write("run/x.pid", "11\n")
	if got, err := readings(t, m.probe("pid_file: "+filepath.Join(m.dir, "run/x.pid"))); err != nil || family(got, "processes") != `{server="x"} 1` {
		t.Errorf("by pid file: %v, %v", err, got)
	}
	if got, err := readings(t, m.probe("pid_file: /nonexistent/y.pid")); err != nil || len(got) != 0 {
		t.Errorf("without the file: %v, %v", err, got)
	}
}

func TestServerProcessWithoutRights(t *testing.T) {
	m := newMachine(t)
	m.process(10, "srs", []string{"srs"}, 1, 0) // no folder fd, as without the right to see it
	got, err := readings(t, m.probe(""))
	if _, shown := got[`headend_server_process_open_fds{server="srs"}`]; shown || err != nil || got[`headend_server_process_threads{server="srs"}`] != 7 {
		t.Errorf("%v, %v", err, got)
	}
}
