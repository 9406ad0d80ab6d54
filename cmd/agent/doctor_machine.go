package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"headend-agent/internal/config"
	"headend-agent/internal/web"
)

// examineMachine checks what the agent stands on.
func examineMachine(o *options, cfg *config.Config) []finding {
	all := []finding{hostName(o.env.Hostname, cfg), clockFinding(time.Now())}
	if err := mounts(o.env); err != nil {
		all = append(all, fail("kernel", "mount proc and sysfs, or name them with --path.procfs and --path.sysfs", "%v", err))
	}
	all = append(all, bufferDisk(cfg.Buffer.Path, uint64(cfg.Buffer.Size))...)
	if f, other := otherUser(cfg.Buffer.Path, os.Getuid()); other {
		all = append(all, f)
	}
	if err := web.CheckConfigFile(cfg.Web.ConfigFile); err != nil {
		all = append(all, fail("pages", "see https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md; the agent's user must be able to read it", "%v", err))
	}
	return append(all, runs(cfg.Web.ListenAddress))
}

// otherUser warns root that the agent, whose buffer belongs to somebody else, may do less.
func otherUser(path string, uid int) (finding, bool) {
	info, err := os.Stat(path)
	if err != nil || uid != 0 {
		return finding{}, false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return finding{}, false
	}
	return warn("user", "sudo -u headend-agent headend-agent doctor", "root may read what the agent, which runs as user %d, may not", owner.Uid), true
}

// genericNames are host names that more than one server of a fleet will have.
var genericNames = []string{"", "localhost", "debian", "ubuntu", "server", "host", "flussonic", "streamer", "raspberrypi", "linux", "vm", "centos", "rocky"}

func hostName(name string, cfg *config.Config) finding {
	if own := cfg.Global.ExternalLabels["instance"]; own != "" {
		return fine("host name", "%q; pushed as instance=%q", name, own)
	}
	short, _, _ := strings.Cut(strings.ToLower(name), ".")
	if slices.Contains(genericNames, short) {
		return warn("host name", "hostnamectl set-hostname NAME, or global: {external_labels: {instance: NAME}}",
			"%q: another server may bear the same, and receivers refuse two sources of one series", name)
	}
	return fine("host name", "%q", name)
}

func clockFinding(now time.Time) finding {
	const remedy = "timedatectl set-ntp true, or start chrony"
	if built := buildDate(); now.Before(built) {
		return fail("clock", remedy, "it says %s, before this agent was built", now.UTC().Format(time.DateTime))
	}
	var x unix.Timex
	if _, err := unix.Adjtimex(&x); err != nil {
		return warn("clock", remedy, "the kernel does not say whether it is synchronised: %v", err)
	}
	if x.Status&unix.STA_UNSYNC != 0 {
		return warn("clock", remedy, "not synchronised: receivers refuse samples from the future")
	}
	return fine("clock", "synchronised")
}

// bufferDisk checks that the ring can be made where it is meant to be.
func bufferDisk(path string, size uint64) []finding {
	const name = "buffer"
	dir := path
	for { // the agent makes the directory
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return []finding{fail(name, "name another directory under buffer: {path: ...}", "%s is no directory", dir)}
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	f, err := os.CreateTemp(dir, ".headend-agent-doctor-")
	if err != nil {
		remedy := "chown headend-agent " + path + "; or run doctor as that user: sudo -u headend-agent headend-agent doctor"
		if errors.Is(err, unix.EROFS) {
			remedy = "remount it, or name another directory under buffer: {path: ...}"
		}
		return []finding{fail(name, remedy, "%s cannot be written by user %d, so an outage is kept in memory only: %v", path, os.Getuid(), err)}
	}
	f.Close()
	os.Remove(f.Name())
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return []finding{warn(name, "dmesg: does its disk work?", "%s: %v", dir, err)}
	}
	if free := st.Bavail*uint64(st.Bsize) + occupied(path); free < size {
		return []finding{warn(name, "free some space, or give buffer: {size: ...} less", "%s has room for %d MiB of the %d MiB that the ring may take", path, free>>20, size>>20)}
	}
	if st.Type == unix.TMPFS_MAGIC {
		return []finding{warn(name, "name a directory on a disk under buffer: {path: ...}", "%s is in memory: a reboot loses the backlog", path)}
	}
	return []finding{fine(name, "%s can be written; room for %d MiB", path, size>>20)}
}

// occupied is how many bytes the ring has already.
func occupied(path string) (bytes uint64) {
	filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && d.Type().IsRegular() {
			bytes += uint64(info.Size())
		}
		return nil
	})
	return bytes
}

// runs checks whether the agent itself runs.
func runs(address string) finding {
	const name = "daemon"
	client := http.Client{Timeout: 3 * time.Second}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fail(name, "write web: {listen_address: \"127.0.0.1:9105\"}", "web.listen_address: %v", err)
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	url := fmt.Sprintf("http://%s/-/healthy", net.JoinHostPort(host, port))
	r, err := client.Get(url)
	if err != nil {
		return warn(name, "systemctl start headend-agent; journalctl -u headend-agent", "does not run, or has another address than %s", address)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1024))
	switch text := string(body); {
	case strings.Contains(text, "headend-agent"):
		return fine(name, "runs; its page is http://%s/", net.JoinHostPort(host, port))
	case r.StatusCode == http.StatusUnauthorized, strings.Contains(text, "HTTPS"):
		return fine(name, "runs behind TLS or a password on %s", address) // which doctor does not have
	}
	return warn(name, "ss -ltnp shows which one; give the agent another address under web: {listen_address: ...}", "another program answers on %s", address)
}
