package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// chroot is a Debian 11 of its own: the oldest system that the packages are for. No systemd runs in it.
type chroot struct {
	t   *testing.T
	dir string
}

func newChroot(t *testing.T) *chroot {
	t.Helper()
	needRoot(t)
	archive, err := filepath.Abs("../build/debian11.tar")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(archive); err != nil {
		if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
			t.Fatal(err)
		}
		must(t, nil, "mmdebstrap", "--quiet", "--variant=minbase", "--include=systemd", "--dpkgopt=force-unsafe-io", "--format=tar",
			"bullseye", archive+".new")
		if err := os.Rename(archive+".new", archive); err != nil {
			t.Fatal(err)
		}
	}
	c := &chroot{t, t.TempDir()}
	must(t, nil, "tar", "-xf", archive, "-C", c.dir, "--exclude=./dev/*")
	must(t, nil, "mknod", "-m", "666", c.dir+"/dev/null", "c", "1", "3")
	if err := os.Chmod(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return c
}

var noninteractive = []string{"DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}

// must runs a command inside.
func (c *chroot) must(args ...string) string {
	c.t.Helper()
	return must(c.t, noninteractive, "unshare", c.enter(args...)...)
}

// enter is for unshare: the command inside, with a /proc that goes when it ends.
func (c *chroot) enter(args ...string) []string {
	return append([]string{"--mount", "sh", "-c", `mount --bind /proc "$0/proc" && exec chroot "$0" "$@"`, c.dir}, args...)
}

func (c *chroot) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(c.dir+name, []byte(text), 0o640); err != nil {
		c.t.Fatal(err)
	}
}

// holds tells what a file inside says; "" where it is not there.
func (c *chroot) holds(name string) string {
	c.t.Helper()
	text, err := os.ReadFile(c.dir + name)
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	return string(text)
}

func (c *chroot) there(name string) bool {
	_, err := os.Lstat(c.dir + name)
	return err == nil
}

// expect compares the mode, owner and group of a file inside.
func (c *chroot) expect(name, want string) {
	c.t.Helper()
	if got := strings.TrimSpace(c.must("stat", "-c", "%a %U:%G", name)); got != want {
		c.t.Errorf("%s is %s, want %s", name, got, want)
	}
}

const (
	wanted = "/etc/systemd/system/multi-user.target.wants/headend-agent.service"
	masked = "/etc/systemd/system/headend-agent.service"
	edited = "# edited\nremote_write: [{url: 'http://127.0.0.1:1/'}]\n"
)

// A deb's life: installed from a signed repository, edited, upgraded, broken, downgraded, removed, installed again, purged.
func TestDebInChroot(t *testing.T) {
	c := newChroot(t)
	repo := c.dir + "/srv/apt"
	gpgHome := []string{"GNUPGHOME=" + t.TempDir()}
	t.Cleanup(func() { run(t, gpgHome, "gpgconf", "--kill", "all") })
	must(t, gpgHome, "gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "test@headend-agent.example", "ed25519", "sign", "1d")
	publish := func(dir string) {
		debs, err := filepath.Glob(dir + "/*.deb")
		if err != nil || len(debs) != 2 {
			t.Fatal(debs, err)
		}
		must(t, gpgHome, "../packaging/apt-repository", append([]string{repo, "test@headend-agent.example"}, debs...)...)
	}
	apt := func(args ...string) string {
		t.Helper()
		return c.must(append([]string{"apt-get", "-q", "-y", "-o", "Dir::Etc::sourcelist=/etc/apt/sources.list.d/headend-agent.list", "-o", "Dir::Etc::sourceparts=-"}, args...)...)
	}
	version := func(want string) {
		t.Helper()
		if got := c.must("headend-agent", "version"); !strings.HasPrefix(got, "headend-agent, version "+want+" ") {
			t.Errorf("%s, want %s", got, want)
		}
	}

	publish(packages(t, oldVersion))
	c.write("/etc/apt/sources.list.d/headend-agent.list", "deb [signed-by=/srv/apt/headend-agent.gpg] file:///srv/apt stable main\n")
	apt("update")
	apt("install", "headend-agent")
	version(oldVersion)
	c.expect("/etc/headend-agent", "750 root:headend-agent")
	c.expect("/etc/headend-agent/conf.d", "750 root:headend-agent")
	c.expect("/etc/headend-agent/agent.yml", "640 root:headend-agent")
	if got := strings.Fields(c.must("id", "-Gn", "headend-agent")); !slices.Contains(got, "video") || !slices.Contains(got, "render") {
		t.Errorf("the agent's user is in %v", got)
	}
	if !c.there(wanted) {
		t.Error("the service is not enabled")
	}
	c.must("headend-agent", "check-config")

	// Edits, an own file, unsent samples and the administrator's group of the file outlive an upgrade.
	c.write("/etc/headend-agent/agent.yml", edited)
	c.write("/etc/headend-agent/conf.d/own.yml", "global: {interval: 5s}\n")
	c.must("chgrp", "adm", "/etc/headend-agent/agent.yml")
	if err := os.MkdirAll(c.dir+"/var/lib/headend-agent/buffer", 0o750); err != nil {
		t.Fatal(err)
	}
	c.write("/var/lib/headend-agent/buffer/ring", "unsent")
	publish(packages(t, newVersion))
	apt("update")
	apt("install", "headend-agent")
	version(newVersion)
	kept := func(when string) {
		t.Helper()
		if c.holds("/etc/headend-agent/agent.yml") != edited || !c.there("/etc/headend-agent/conf.d/own.yml") || c.holds("/var/lib/headend-agent/buffer/ring") != "unsent" {
			t.Errorf("after %s, something of the administrator's or the agent's is gone", when)
		}
	}
	kept("an upgrade")
	c.expect("/etc/headend-agent/agent.yml", "640 root:adm")
	apt("--allow-downgrades", "install", "headend-agent=0.1.0~rc.1-1")
	version(oldVersion)
	kept("a downgrade")

	// A service that the administrator has disabled stays so, and a broken configuration stops nothing.
	c.must("systemctl", "disable", "headend-agent")
	c.write("/etc/headend-agent/agent.yml", "remote_write: {{{\n")
	apt("install", "headend-agent")
	version(newVersion)
	if c.there(wanted) {
		t.Error("the upgrade has enabled a disabled service")
	}
	c.write("/etc/headend-agent/agent.yml", edited)

	apt("remove", "headend-agent")
	kept("the removal")
	if c.there("/usr/bin/headend-agent") {
		t.Error("the program is still there after the removal")
	}
	if to, err := os.Readlink(c.dir + masked); err != nil || to != "/dev/null" {
		t.Errorf("a removed service is not masked: %q %v", to, err)
	}
	apt("install", "headend-agent")
	kept("the second installation")
	if c.there(masked) {
		t.Error("the service is still masked after the second installation")
	}

	if err := os.Remove(c.dir + "/etc/headend-agent/conf.d/own.yml"); err != nil {
		t.Fatal(err)
	}
	apt("purge", "headend-agent")
	for _, name := range []string{"/etc/headend-agent", "/var/lib/headend-agent", "/usr/share/doc/headend-agent", masked, wanted, "/var/lib/systemd/deb-systemd-helper-enabled/headend-agent.service.dsh-also"} {
		if c.there(name) {
			t.Errorf("%s outlives the purge", name)
		}
	}
	c.must("id", "headend-agent") // its files may still be on some disk
	if left := c.must("dpkg", "--audit"); left != "" {
		t.Error(left)
	}
}

// A repository that another key has signed is not trusted.
func TestAptRefusesAnotherKey(t *testing.T) {
	c := newChroot(t)
	gpgHome := []string{"GNUPGHOME=" + t.TempDir()}
	t.Cleanup(func() { run(t, gpgHome, "gpgconf", "--kill", "all") })
	for _, name := range []string{"one@headend-agent.example", "two@headend-agent.example"} {
		must(t, gpgHome, "gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "1d")
	}
	deb := filepath.Join(packages(t, newVersion), newDeb)
	must(t, gpgHome, "../packaging/apt-repository", c.dir+"/srv/apt", "one@headend-agent.example", deb)
	must(t, gpgHome, "../packaging/apt-repository", c.dir+"/srv/apt", "two@headend-agent.example", deb) // the key that hosts have is still the first
	c.write("/etc/apt/sources.list.d/headend-agent.list", "deb [signed-by=/srv/apt/headend-agent.gpg] file:///srv/apt stable main\n")
	out, err := run(t, noninteractive, "unshare", c.enter("apt-get", "-q", "-o", "Dir::Etc::sourcelist=/etc/apt/sources.list.d/headend-agent.list", "-o", "Dir::Etc::sourceparts=-", "update", "--error-on=any")...)
	if err == nil || !strings.Contains(out, "NO_PUBKEY") {
		t.Errorf("%v\n%s", err, out)
	}
}

// An rpm's life, by rpm's own tool in another root.
func TestRPMInChroot(t *testing.T) {
	c := newChroot(t)
	rpm := func(args ...string) string {
		t.Helper()
		script := `mount --bind /proc "$0/proc" && exec rpm --root="$0" --nodeps --nosignature "$@"`
		return must(t, noninteractive, "unshare", append([]string{"--mount", "sh", "-c", script, c.dir}, args...)...)
	}
	old, latest := filepath.Join(packages(t, oldVersion), oldRPM), filepath.Join(packages(t, newVersion), newRPM)
	rpm("-i", old)
	c.expect("/etc/headend-agent/agent.yml", "640 root:headend-agent")
	c.expect("/etc/headend-agent", "750 root:headend-agent")
	c.must("headend-agent", "check-config")
	if got := strings.Fields(c.must("id", "-Gn", "headend-agent")); !slices.Contains(got, "video") {
		t.Errorf("the agent's user is in %v", got)
	}
	if out := rpm("-V", "headend-agent"); out != "" {
		t.Errorf("fresh, but rpm -V says %s", out)
	}

	c.write("/etc/headend-agent/agent.yml", edited)
	if err := os.MkdirAll(c.dir+"/var/lib/headend-agent", 0o750); err != nil {
		t.Fatal(err)
	}
	c.write("/var/lib/headend-agent/ring", "unsent")
	kept := func(when, config string) {
		t.Helper()
		if c.holds(config) != edited || c.holds("/var/lib/headend-agent/ring") != "unsent" {
			t.Errorf("after %s, something of the administrator's or the agent's is gone", when)
		}
	}
	rpm("-U", latest)
	kept("an upgrade", "/etc/headend-agent/agent.yml")
	if got := c.must("headend-agent", "version"); !strings.Contains(got, "version "+newVersion+" ") {
		t.Error(got)
	}
	if c.there("/etc/headend-agent/agent.yml.rpmnew") {
		t.Error("the upgrade asks about a configuration file that has not changed")
	}
	rpm("-U", "--oldpackage", old)
	kept("a downgrade", "/etc/headend-agent/agent.yml")
	c.write("/etc/headend-agent/agent.yml", "remote_write: {{{\n")
	rpm("-U", latest)
	c.write("/etc/headend-agent/agent.yml", edited)
	rpm("-e", "headend-agent")
	kept("the removal", "/etc/headend-agent/agent.yml.rpmsave")
	var left []string
	filepath.WalkDir(c.dir+"/usr", func(path string, _ fs.DirEntry, _ error) error {
		if strings.Contains(filepath.Base(path), "headend-agent") {
			left = append(left, path)
		}
		return nil
	})
	if len(left) > 0 {
		t.Errorf("the removal leaves %v", left)
	}
	rpm("-i", latest)
}

// The upgrade of a running agent, of which rpm replaces the program under way, costs no sample and repeats none. What systemd does after
// the installation is done by hand: there is none in another root.
func TestRPMUpgradeLosesNothing(t *testing.T) {
	c := newChroot(t)
	install := func(args ...string) {
		t.Helper()
		must(t, noninteractive, "unshare", append([]string{"--mount", "sh", "-c", `mount --bind /proc "$0/proc" && exec rpm --root="$0" --nodeps --nosignature "$@"`, c.dir}, args...)...)
	}
	install("-i", filepath.Join(packages(t, oldVersion), oldRPM))
	prom, address := startPrometheus(t, ""), free(t)
	c.write("/etc/headend-agent/conf.d/push.yml", "global: {interval: 1s}\nremote_write: [{url: 'http://"+prom.write()+"', name: prom, flush_interval: 1s}]\n")
	page := func() (string, error) { return get("http://" + address + "/metrics") }
	runs := func(version string) *process {
		t.Helper()
		p := start(t, "unshare", c.enter("/usr/bin/headend-agent", "run", "--web.listen-address="+address)...)
		eventually(t, 20*time.Second, func() error {
			text, err := page()
			if err == nil && !strings.Contains(text, `,version="`+version+`"} 1`) {
				err = errors.New("another version runs")
			}
			return err
		})
		return p
	}
	// further waits for so many more rounds and returns the number of the last one that was seen.
	further := func(rounds float64) (last float64) {
		t.Helper()
		text, err := page()
		if err != nil {
			t.Fatal(err)
		}
		from := value(text, ownRuns)
		eventually(t, 20*time.Second, func() error {
			text, err := page()
			if last = value(text, ownRuns); err == nil && last < from+rounds {
				err = fmt.Errorf("round %v, after %v", last, from)
			}
			return err
		})
		return last
	}
	before := runs(oldVersion)
	further(3)
	install("-U", filepath.Join(packages(t, newVersion), newRPM))
	atLeast := further(2) // the old program, whose file is gone, is still at work
	if code := before.stop(); code != 0 {
		t.Errorf("the old agent ends with %d", code)
	}
	runs(newVersion)
	want := further(3)
	var rounds []point
	second := 0 // where the new agent's begin
	eventually(t, 20*time.Second, func() error {
		got, err := one(prom.address, ownRuns+"[5m]")
		if err != nil {
			return err
		}
		rounds = got.Values
		for i, p := range rounds[1:] {
			if p.Value == 0 {
				second = i + 1
			}
		}
		if newest := rounds[len(rounds)-1].Value; second == 0 || newest < want {
			err = fmt.Errorf("only round %v has come, want %v", newest, want)
		}
		return err
	})
	if agents, where := lost(rounds); agents != 2 || where != "" {
		t.Errorf("rounds of %d agents: %s", agents, where)
	}
	if last := rounds[second-1].Value; last < atLeast {
		t.Errorf("the old agent's rounds end with %v, it was seen at %v", last, atLeast)
	}
}
