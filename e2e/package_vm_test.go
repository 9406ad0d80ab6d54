package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The package's life on a running system, and what may befall the service.
func TestPackageInVM(t *testing.T) {
	vmScripts(t)
	driver := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	must(t, nil, "gcc", "-shared", "-fPIC", "-o", driver, "../probe/gpu/testdata/fakenvml.c", "-ldl")
	inVM(t, "TestInsidePackage", "", driver, "../probe/gpu/testdata/t4.script", filepath.Join(packages(t, oldVersion), oldDeb), filepath.Join(packages(t, newVersion), newDeb))
}

func TestInsidePackage(t *testing.T) {
	insideVM(t)
	s := &service{root: t}
	// A step builds upon those before it.
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"install", s.install}, {"configure", s.configure}, {"sandbox", s.sandbox}, {"devices", s.devices}, {"driver library", s.driver}, {"media server", s.mediaServer},
		{"credentials", s.credentials}, {"cut", s.cut}, {"upgrade", s.upgrade}, {"broken configuration", s.broken}, {"watchdog", s.watchdog}, {"out of memory", s.outOfMemory},
		{"full disk", s.fullDisk}, {"clock", s.clock}, {"downgrade", s.downgrade}, {"remove", s.remove},
	} {
		start := time.Now()
		if !t.Run(step.name, func(t *testing.T) { s.T = t; step.run(t) }) {
			out, _ := run(t, nil, "sh", "-c", "systemctl status --no-pager "+unit+"; journalctl --no-pager -n 40 -u "+unit)
			t.Fatal(out)
		}
		t.Logf("%s: %s", step.name, time.Since(start).Round(time.Second))
	}
}

// On a clean system: running, enabled, probing, and a kind word about there being nowhere to send.
func (s *service) install(t *testing.T) {
	s.sh("dpkg -i " + oldDeb)
	s.wait("ActiveState", "active")
	if s.show("UnitFileState") != "enabled" {
		t.Error("the service is not enabled")
	}
	if text := s.show("StatusText"); !strings.Contains(text, "nowhere to send") {
		t.Errorf("systemctl status says %q", text)
	}
	patiently(t, time.Minute, func() error {
		text, err := get("http://" + pages + "/metrics")
		if err == nil && !strings.Contains(text, "\nnode_load1 ") {
			err = errors.New("no node_load1 on the page")
		}
		return err
	})
	if n := s.restarts(); n != 0 {
		t.Errorf("started %d times", n+1)
	}
	if out := s.sh("journalctl -u " + unit); !strings.Contains(out, "nowhere to send") {
		t.Error(out)
	}
}

// A file in conf.d and a reload later, Prometheus has samples.
func (s *service) configure(t *testing.T) {
	s.prom = &prometheus{address: "127.0.0.1:9090", dir: "/root/prometheus"}
	s.write(s.prom.dir+"/prometheus.yml", "global: {scrape_interval: 15s}\n")
	s.prom.start(s.root)
	s.write("/etc/headend-agent/conf.d/push.yml", s.pushConfig())
	s.sh("systemctl reload " + unit)
	s.fresh(t)
	if text := s.show("StatusText"); !strings.Contains(text, "pushing to prom") {
		t.Errorf("systemctl status says %q", text)
	}
}

// The sandbox hides nothing of the host: the agent finds in it what root finds outside of it.
func (s *service) sandbox(t *testing.T) {
	names := func(text string) map[string]bool {
		all := map[string]bool{}
		for line := range strings.Lines(text) {
			if name, _, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "node_") {
				all[name] = true
			}
		}
		return all
	}
	// Series that come and go with what runs, and what the kernel shows to root alone.
	rootOnly := []string{"node_rapl_"}
	outside := names(s.sh("headend-agent probe 2>/dev/null || true"))
	page, err := get("http://" + pages + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	inside := names(page)
	if len(outside) < 200 {
		t.Errorf("only %d series outside", len(outside))
	}
series:
	for name := range outside {
		if inside[name] || strings.Contains(name, "/run/systemd") || strings.Contains(name, "/run/credentials") {
			continue
		}
		for _, prefix := range rootOnly {
			if strings.HasPrefix(name, prefix) {
				continue series
			}
		}
		t.Errorf("the sandbox hides %s", name)
	}
	for name := range inside {
		if strings.HasPrefix(name, "node_filesystem_readonly{") && strings.Contains(name, `mountpoint="/"`) && !strings.Contains(page, name+" 0\n") {
			t.Errorf("the root file system is shown as the sandbox has it, read-only: %s", name)
		}
		if strings.HasPrefix(name, "node_filesystem_device_error{") && strings.Contains(page, name+" 1\n") {
			t.Errorf("%s is 1", name)
		}
	}
	if !strings.Contains(page, "\nnode_timex_sync_status ") {
		t.Error("the sandbox forbids to ask for the clock's state")
	}
	if out, err := s.sandboxed("touch /etc/headend-agent/x /usr/x /root/x /home/x 2>&1"); err == nil || strings.Contains(out, "not found") {
		t.Errorf("the service can write where it should not: %v %s", err, out)
	}
	if out, err := s.sandboxed("touch /var/lib/headend-agent/x /run/headend-agent/x"); err != nil {
		t.Errorf("the service cannot write where it should: %s", out)
	}
}

// DVB adapters whose driver is loaded after the service has started can be read, and the kernel's threads of those in use be seen; other
// devices cannot.
func (s *service) devices(t *testing.T) {
	s.sh("vm-dvb sim adapters=2")
	s.sh("vm-dvb tune 0 GOOD")
	if out, err := s.sandboxed(": < /dev/dvb/adapter0/frontend0"); err != nil {
		t.Errorf("a DVB adapter cannot be read: %s", out)
	}
	if out, err := s.sandboxed(": > /dev/dvb/adapter0/frontend0"); err == nil || !strings.Contains(out, "not permitted") {
		t.Errorf("a DVB adapter can be written: %v %s", err, out)
	}
	if out, err := s.sandboxed("grep -l '^kdvb-ad-0-fe-0$' /proc/*/comm"); err != nil {
		t.Errorf("the kernel's thread is not visible: %s", out)
	}
	for name, device := range map[string]string{"NVIDIA": "c 195 255", "other": "c 10 229"} {
		path := "/dev/test-" + name
		s.sh("mknod -m 666 " + path + " " + device)
		out, err := s.sandboxed(": < " + path)
		denied := strings.Contains(out, "Operation not permitted")
		if allowed := name == "NVIDIA"; err == nil || denied == allowed { // there is no driver behind it
			t.Errorf("%s device: %v %s", name, err, out)
		}
		os.Remove(path)
	}
	s.sh("vm-dvb off")
}

// The sandbox lets the agent's child load a driver's library and talk to it.
func (s *service) driver(t *testing.T) {
	lib := "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"
	s.sh("cp libnvidia-ml.so.1 " + lib + " && cp t4.script " + lib + ".script && mknod -m 666 /dev/nvidiactl c 195 255")
	s.write("/etc/headend-agent/conf.d/gpu.yml", "probes: {gpu_nvidia: {}}\n")
	s.sh("systemctl reload " + unit)
	patiently(t, time.Minute, func() error {
		text, err := get("http://" + pages + "/metrics")
		if err == nil && !strings.Contains(text, "\nflussonic_gpu_enc{") {
			err = errors.New("no flussonic_gpu_enc on the page")
		}
		return err
	})
	s.sh("rm /etc/headend-agent/conf.d/gpu.yml /dev/nvidiactl " + lib + "* && systemctl reload " + unit)
}

// Of the media server's process, another user's, the default unit shows what is public and keeps still about the rest; the drop-in
// shows that too.
func (s *service) mediaServer(t *testing.T) {
	s.sh("useradd --system mediamtx && cp /bin/sleep /usr/local/bin/mediamtx")
	server := start(t, "setpriv", "--reuid=mediamtx", "--clear-groups", "/usr/local/bin/mediamtx", "100000")
	seen := func(openFiles bool) {
		t.Helper()
		patiently(t, time.Minute, func() error {
			text, err := get("http://" + pages + "/metrics")
			switch {
			case err != nil:
				return err
			case !strings.Contains(text, "\nheadend_server_process_resident_memory_bytes{server=\"mediamtx\"}"):
				return errors.New("the media server's process is not seen")
			case strings.Contains(text, "\nheadend_server_process_open_fds{server=\"mediamtx\"}") != openFiles:
				return fmt.Errorf("its open files are seen: %v", !openFiles)
			case !strings.Contains(text, "headend_agent_probe_success{probe=\"server_process\"} 1"):
				return errors.New("the probe fails")
			}
			return nil
		})
	}
	s.sh("systemctl restart " + unit)
	seen(false)
	s.dropIn(t, s.example("other-processes.conf"))
	seen(true)
	server.kill()
}

// example is one of the package's drop-ins. The machine's dpkg leaves out /usr/share/doc.
func (s *service) example(name string) string {
	s.Helper()
	return s.sh("dpkg-deb --fsys-tarfile " + oldDeb + " | tar -xO ./usr/share/doc/headend-agent/examples/" + name)
}

// A token that only root can read is handed over by systemd.
func (s *service) credentials(t *testing.T) {
	s.sh("mkdir -m 700 /etc/headend-agent/secret && echo token > /etc/headend-agent/secret/token")
	s.write("/etc/headend-agent/conf.d/push.yml", strings.Replace(s.pushConfig(), "name: prom", "name: prom, basic_auth: {username: u, password_file: /run/credentials/"+unit+"/token}", 1))
	s.dropIn(t, s.example("credentials.conf"))
	t.Cleanup(func() {
		s.write("/etc/headend-agent/conf.d/push.yml", s.pushConfig())
		os.RemoveAll("/etc/headend-agent/secret")
	})
	s.fresh(t)
	if n := s.restarts(); n != 0 {
		t.Errorf("started %d times", n+1)
	}
}

// An uplink that is cut for a while costs no sample.
func (s *service) cut(t *testing.T) {
	s.fresh(t)
	from := time.Now()
	s.prom.stop()
	time.Sleep(30 * time.Second)
	s.prom.start(s.root)
	s.fresh(t)
	s.complete(t, from, time.Now())
	s.settled(t)
}

// An upgrade keeps the edits, runs the new program, and loses nothing.
func (s *service) upgrade(t *testing.T) {
	edited := "# edited\n" + s.sh("cat /etc/headend-agent/agent.yml")
	s.write("/etc/headend-agent/agent.yml", edited)
	s.fresh(t)
	from := time.Now()
	time.Sleep(5 * time.Second)
	s.sh("dpkg -i " + newDeb)
	s.version(t, newVersion)
	s.fresh(t)
	if got := s.sh("cat /etc/headend-agent/agent.yml"); got != edited {
		t.Errorf("the edits are gone:\n%s", got)
	}
	// The old one, which stops in order, delivers all that it has measured; the new one measures at once.
	s.complete(t, from, s.said(t, "headend-agent has stopped"))
	time.Sleep(5 * time.Second)
	s.complete(t, s.said(t, "headend-agent is running"), time.Now())
	s.settled(t)
}

// An upgrade over a broken configuration goes through, says so, and leaves the agent at work.
func (s *service) broken(t *testing.T) {
	pid := s.show("MainPID")
	s.write("/etc/headend-agent/conf.d/zz.yml", "remote_write: {{{\n")
	out := s.sh("dpkg -i " + newDeb + " 2>&1")
	if !strings.Contains(out, "the old version goes on running") || !strings.Contains(out, "zz.yml") {
		t.Errorf("the upgrade says\n%s", out)
	}
	if now := s.show("MainPID"); now != pid {
		t.Error("the agent was ended for a configuration that cannot start")
	}
	s.fresh(t)
	os.Remove("/etc/headend-agent/conf.d/zz.yml")
}

// An agent that hangs is killed and started anew.
func (s *service) watchdog(t *testing.T) {
	s.dropIn(t, "[Service]\nWatchdogSec=6\n")
	time.Sleep(10 * time.Second)
	before := s.restarts()
	if before != 0 {
		t.Error("the watchdog kills a healthy agent")
	}
	s.sh("kill -STOP " + s.show("MainPID"))
	s.startedAnew(t, before)
	s.wait("ActiveState", "active")
	s.fresh(t)
	if out := s.sh("journalctl -u " + unit); !strings.Contains(out, "Watchdog timeout") {
		t.Error("nothing about the watchdog in the journal")
	}
}

// So is one that the kernel has killed for its memory.
func (s *service) outOfMemory(t *testing.T) {
	before := s.restarts()
	s.sh("systemctl set-property --runtime " + unit + " MemoryMax=1M MemoryHigh=infinity MemorySwapMax=0")
	s.startedAnew(t, before)
	s.sh("systemctl set-property --runtime " + unit + " MemoryMax=256M MemoryHigh=192M")
	s.wait("ActiveState", "active")
	s.fresh(t)
	if out := s.sh("journalctl -u " + unit); !strings.Contains(out, "oom-kill") {
		t.Error("nothing about memory in the journal")
	}
}

// A state directory without room costs durability alone.
func (s *service) fullDisk(t *testing.T) {
	s.sh("systemctl stop " + unit + " && mount -t tmpfs -o size=256k none /var/lib/headend-agent && " +
		"{ dd if=/dev/zero of=/var/lib/headend-agent/full bs=4k || true; } && systemctl start " + unit)
	s.fresh(t)
	s.mode(t, "memory")
	if n := s.restarts(); n != 0 {
		t.Errorf("started %d times on a full disk", n+1)
	}
	s.sh("systemctl stop " + unit + " && umount /var/lib/headend-agent && systemctl start " + unit)
	s.fresh(t)
	s.mode(t, "disk")
}

// mode waits for the buffer to work in a way.
func (s *service) mode(t *testing.T, want string) {
	t.Helper()
	patiently(t, time.Minute, func() error {
		text, err := get("http://" + pages + "/metrics")
		if err == nil && value(text, `headend_agent_buffer_mode{mode="`+want+`"}`) != 1 {
			err = errors.New("the buffer is not in the mode " + want)
		}
		return err
	})
}

// A clock that starts in 1970 and is set right later: what was measured before has the right times after.
func (s *service) clock(t *testing.T) {
	s.sh("systemctl stop " + unit)
	real, up := time.Now(), monotonic(t)
	s.sh("date -s @1000 >/dev/null && systemctl start --no-block " + unit)
	s.wait("ActiveState", "active")
	started := real.Add(monotonic(t) - up)
	time.Sleep(10 * time.Second)
	s.sh(fmt.Sprintf("date -s @%.3f >/dev/null", float64(real.Add(monotonic(t)-up).UnixMilli())/1000))
	s.fresh(t)
	got, err := one(s.prom.address, fmt.Sprintf("node_load1[%ds]", int(time.Since(started).Seconds())))
	if err != nil {
		t.Fatal(err)
	}
	if first := got.Values[0].Ms - started.UnixMilli(); first > 5000 {
		t.Errorf("the first sample is of %d ms after the start: what was measured with the wrong clock is missing", first)
	}
	if all, err := get("http://" + s.prom.address + "/api/v1/query?time=1010&query=node_load1"); err != nil || strings.Contains(all, "node_load1") {
		t.Errorf("samples of 1970: %v %s", err, all)
	}
}

// monotonic is the time since the machine's boot.
func monotonic(t *testing.T) time.Duration {
	t.Helper()
	return time.Duration(firstField(t, "/proc/uptime") * float64(time.Second))
}

// The version before starts on what the newer one has left.
func (s *service) downgrade(t *testing.T) {
	s.sh("dpkg -i " + oldDeb)
	s.version(t, oldVersion)
	s.fresh(t)
	if n := s.restarts(); n != 0 {
		t.Errorf("started %d times", n+1)
	}
}

// Removed: stopped, state kept. Installed again: at work. Purged: gone.
func (s *service) remove(t *testing.T) {
	s.write("/var/lib/headend-agent/mark", "")
	s.sh("dpkg -r headend-agent")
	if state := s.show("ActiveState"); state != "inactive" {
		t.Errorf("the service of a removed package is %s", state)
	}
	s.sh("test -e /var/lib/headend-agent/mark && test -e /etc/headend-agent/agent.yml")
	s.sh("dpkg -i " + newDeb)
	s.wait("ActiveState", "active")
	s.version(t, newVersion)
	s.fresh(t)
	s.sh("rm /etc/headend-agent/conf.d/* && dpkg -P headend-agent")
	for _, name := range []string{"/etc/headend-agent", "/var/lib/headend-agent", "/run/headend-agent", "/usr/bin/headend-agent"} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s outlives the purge", name)
		}
	}
}
