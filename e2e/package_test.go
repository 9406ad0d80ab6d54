package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// run runs a program to its end and returns what it printed, both streams together.
func run(t testing.TB, env []string, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// must is run for what has to work.
func must(t testing.TB, env []string, name string, args ...string) string {
	t.Helper()
	out, err := run(t, env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// needRoot skips a test that makes whole systems.
func needRoot(t testing.TB) {
	if os.Getuid() != 0 {
		t.Skip("chroots need root")
	}
}

var built struct {
	sync.Mutex
	dirs map[string]string
}

// packages builds the packages of a version once for all tests, and returns their directory.
func packages(t testing.TB, version string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.dirs == nil {
		built.dirs = map[string]string{}
	}
	if dir := built.dirs[version]; dir != "" {
		return dir
	}
	dir, err := filepath.Abs("../build/e2e-packages/" + version)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	must(t, []string{"VERSION=" + version, "DIST=" + dir}, "../packaging/build")
	built.dirs[version] = dir
	return dir
}

const (
	oldVersion = "0.1.0-rc.1"
	newVersion = "0.1.0"
	oldDeb     = "headend-agent_0.1.0~rc.1-1_amd64.deb"
	newDeb     = "headend-agent_0.1.0-1_amd64.deb"
	oldRPM     = "headend-agent-0.1.0~rc.1-1.x86_64.rpm"
	newRPM     = "headend-agent-0.1.0-1.x86_64.rpm"
)

func sums(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%x %s\n", sha256.Sum256(text), e.Name())
	}
	return b.String()
}

// A build in another directory, of files with other times, under another umask, gives the same bytes.
func TestPackagesAreReproducible(t *testing.T) {
	first := sums(t, packages(t, newVersion))
	if strings.Count(first, "\n") != 4 {
		t.Fatalf("want a deb and an rpm for two architectures, got\n%s", first)
	}
	tree, dist := t.TempDir(), t.TempDir()
	files, err := run(t, nil, "git", "-C", "..", "ls-files", "-co", "--exclude-standard")
	if err != nil {
		t.Skipf("only git knows what belongs to the source: %s", files)
	}
	for name := range strings.Lines(files) {
		name = strings.TrimSpace(name)
		text, err := os.ReadFile(filepath.Join("..", name))
		if os.IsNotExist(err) {
			continue
		}
		info, err := os.Stat(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(tree, name)
		os.MkdirAll(filepath.Dir(to), 0o755)
		if err := os.WriteFile(to, text, info.Mode()&0o700|0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{
		"VERSION=" + newVersion, "DIST=" + dist,
		"REVISION=" + strings.TrimSpace(must(t, nil, "git", "-C", "..", "rev-parse", "--short", "HEAD")),
		"SOURCE_DATE_EPOCH=" + strings.TrimSpace(must(t, nil, "git", "-C", "..", "log", "-1", "--format=%ct")),
	}
	must(t, env, "sh", "-c", "umask 077 && exec "+tree+"/packaging/build")
	if second := sums(t, dist); second != first {
		t.Errorf("built once:\n%sbuilt twice:\n%s", first, second)
	}
}

// Debian's checker finds nothing but what packaging/lintian-overrides explains; rpm's has this list.
func TestPackageCheckers(t *testing.T) {
	dir := packages(t, newVersion)
	debs, _ := filepath.Glob(dir + "/*.deb")
	must(t, nil, "lintian", append([]string{"--fail-on", "error,warning"}, debs...)...)

	allowed := []string{
		"invalid-license",                                                      // Debian's rpmlint knows no SPDX names
		"manpage-not-compressed",                                               // bz2 is Mageia's taste
		"no-binary", "no-manual-page-for-binary", "only-non-binary-in-usr-lib", // it does not know the program for one
		"no-changelogname-tag", "no-signature", "no-url-tag", "no-documentation",
		"non-readable", "non-standard-dir-perm", "non-standard-gid", // tokens: only the agent's group may read
		"not-listed-as-documentation", // the packager knows such files for rpm only
		"statically-linked-binary",
	}
	rpms, _ := filepath.Glob(dir + "/*.rpm")
	out, _ := run(t, nil, "rpmlint", rpms...)
	tags := regexp.MustCompile(`(?m)^headend-agent\.\S+: [EW]: (\S+).*$`).FindAllStringSubmatch(out, -1)
	if len(tags) == 0 {
		t.Errorf("rpmlint has looked at nothing:\n%s", out)
	}
	for _, m := range tags {
		if !slices.Contains(allowed, m[1]) {
			t.Error(m[0])
		}
	}
}

var glibc = regexp.MustCompile(`GLIBC_(\d+)\.(\d+)`)

// floor returns the newest version of the C library that a program asks for, 0 where it asks for none.
func floor(t *testing.T, program string) (minor int) {
	t.Helper()
	for _, m := range glibc.FindAllStringSubmatch(must(t, nil, "readelf", "-VW", program), -1) {
		major, _ := strconv.Atoi(m[1])
		n, _ := strconv.Atoi(m[2])
		if major != 2 {
			t.Fatalf("%s asks for %s", program, m[0])
		}
		minor = max(minor, n)
	}
	return minor
}

// The programs run on every distribution since glibc 2.28, and so does one that loads a driver's library through C.
func TestGlibcFloor(t *testing.T) {
	viaC := t.TempDir()
	source := "package main\n\n// #cgo LDFLAGS: -ldl\n// #include <dlfcn.h>\n// #include <pthread.h>\n" +
		"// static int f(void) { pthread_t t; return dlopen(\"libc.so.6\", RTLD_LAZY) && pthread_join != 0 && pthread_create != 0 && !pthread_equal(t, pthread_self()); }\nimport \"C\"\n\n" +
		"func main() {\n\tif C.f() == 0 {\n\t\tpanic(\"no libc\")\n\t}\n}\n"
	if err := os.WriteFile(viaC+"/main.go", []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	dist := t.TempDir()
	must(t, []string{"VERSION=" + newVersion, "DIST=" + dist, "PROGRAM=" + viaC + "/main.go"}, "../packaging/build")
	for _, dir := range []string{packages(t, newVersion), dist} {
		for _, arch := range []string{"amd64", "arm64"} {
			root := t.TempDir()
			must(t, nil, "dpkg-deb", "-x", filepath.Join(dir, "headend-agent_0.1.0-1_"+arch+".deb"), root)
			minor := floor(t, root+"/usr/bin/headend-agent")
			t.Logf("%s: glibc 2.%d", arch, minor)
			if minor > 28 {
				t.Errorf("%s asks for glibc 2.%d", arch, minor)
			}
			if dir == dist && minor == 0 {
				t.Errorf("%s: the program through C asks for no C library at all", arch)
			}
		}
		if dir == dist {
			root := t.TempDir()
			must(t, nil, "dpkg-deb", "-x", filepath.Join(dir, newDeb), root)
			must(t, nil, root+"/usr/bin/headend-agent")
		}
	}
}

// Between releases versions sort as they come.
func TestPackageVersionsSort(t *testing.T) {
	script := must(t, nil, "sed", "-n", `s/^PACKAGE_VERSION=\(.*\)$/echo \1/p`, "../packaging/build")
	var last string
	for _, v := range []string{"0.1.0-beta.2", "0.1.0-rc.1", "0.1.0", "0.1.0-5-gabc1234", "0.1.0-12-g0123456", "v0.1.1-rc.1", "v0.1.1"} {
		got := strings.TrimSpace(must(t, []string{"VERSION=" + v}, "bash", "-c", script))
		if strings.Contains(got, "-") {
			t.Errorf("%s becomes %s", v, got)
		}
		if last != "" {
			must(t, nil, "dpkg", "--compare-versions", last+"-1", "lt", got+"-1")
			if out := must(t, nil, "rpm", "--eval", fmt.Sprintf(`%%{lua: print(rpm.vercmp(%q, %q))}`, last, got)); strings.TrimSpace(out) != "-1" {
				t.Errorf("rpm: %s is not before %s: %s", last, got, out)
			}
		}
		last = got
	}
}

// What is in the package: the right modes, a reference that is a valid configuration, a bill of materials of the program itself, and
// no path of the builder.
func TestPackageContents(t *testing.T) {
	root := t.TempDir()
	must(t, nil, "dpkg-deb", "-x", filepath.Join(packages(t, newVersion), newDeb), root)
	doc := root + "/usr/share/doc/headend-agent/"
	for name, mode := range map[string]fs.FileMode{
		"/etc/headend-agent": 0o750, "/etc/headend-agent/conf.d": 0o750, "/etc/headend-agent/agent.yml": 0o640, "/usr/bin/headend-agent": 0o755,
		"/usr/lib/systemd/system/headend-agent.service": 0o644, "/usr/share/man/man8/headend-agent.8.gz": 0o644,
		"/usr/share/bash-completion/completions/headend-agent": 0o644,
	} {
		if info, err := os.Stat(root + name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want mode %o", name, info, err, mode)
		}
	}
	agent := root + "/usr/bin/headend-agent"
	if out := must(t, nil, agent, "version"); !strings.HasPrefix(out, "headend-agent, version "+newVersion+" ") {
		t.Error(out)
	}
	must(t, nil, agent, "check-config", "--config.file="+root+"/etc/headend-agent/agent.yml")
	for _, secret := range []string{"token", "flussonic.pass"} {
		if err := os.WriteFile(doc+secret, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must(t, nil, agent, "check-config", "--config.file="+doc+"agent.reference.yml")

	sbom := must(t, nil, "zcat", doc+"sbom.cdx.json.gz")
	notices := must(t, nil, "zcat", doc+"NOTICES.gz")
	modules := must(t, nil, "go", "version", "-m", agent)
	n := 0
	for _, m := range regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)`).FindAllStringSubmatch(modules, -1) {
		n++
		if !strings.Contains(sbom, `"pkg:golang/`+m[1]+"@"+m[2]+`"`) || !strings.Contains(notices, "\n"+m[1]+" "+m[2]+" (") {
			t.Errorf("%s %s is in the program, but not in its bill of materials and notices", m[1], m[2])
		}
	}
	if n < 5 {
		t.Errorf("only %d modules found:\n%s", n, modules)
	}
	here, _ := filepath.Abs("..")
	if text, err := os.ReadFile(agent); err != nil || bytes.Contains(text, []byte(here+"/")) {
		t.Errorf("the program holds the builder's path %s (%v)", here, err)
	}
	signs := filepath.Join(t.TempDir(), "agent.yml")
	if err := os.WriteFile(signs, []byte("remote_write: [{url: https://aps.example/api/v1/remote_write, sigv4: {region: eu-central-1, profile: edge}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, nil, agent, "check-config", "--config.file="+signs)
	if info, err := os.Stat(agent); err != nil || info.Size() > 29_000_000 { // with the signing for Amazon
		t.Errorf("the program weighs more than 29 MB: %v %v", info, err)
	}
	if info, err := os.Stat(agentBinary(t)); err != nil || info.Size() > 25_000_000 {
		t.Errorf("the program without it weighs more than 25 MB: %v %v", info, err)
	}
	if out := must(t, nil, "bash", "-c", `PATH=`+root+`/usr/bin:$PATH; . `+root+`/usr/share/bash-completion/completions/headend-agent
		compopt() { :; }
		COMP_WORDS=(headend-agent ch); COMP_CWORD=1; _headend_agent; echo "${COMPREPLY[@]}"
		COMP_WORDS=(headend-agent run --web.l); COMP_CWORD=2; _headend_agent; echo "${COMPREPLY[@]}"`); out != "check-config\n--web.listen-address=\n" {
		t.Errorf("completion: %q", out)
	}
}

// The unit is what systemd understands, and exposes little; so do the drop-ins for it.
func TestUnit(t *testing.T) {
	root := t.TempDir()
	must(t, nil, "dpkg-deb", "-x", filepath.Join(packages(t, newVersion), newDeb), root)
	unit := root + "/headend-agent.service" // with the program where it lies here
	text, err := os.ReadFile(root + "/usr/lib/systemd/system/headend-agent.service")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Glob(root + "/usr/share/doc/headend-agent/examples/*.conf")
	if err != nil || len(examples) < 4 {
		t.Fatal(examples, err)
	}
	for _, drop := range append(examples, "") {
		all := strings.ReplaceAll(string(text), "/usr/bin/headend-agent", root+"/usr/bin/headend-agent")
		if drop != "" {
			more, err := os.ReadFile(drop)
			if err != nil {
				t.Fatal(err)
			}
			all += "\n" + string(more)
		}
		if err := os.WriteFile(unit, []byte(all), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, _ := run(t, nil, "systemd-analyze", "verify", "--man=no", unit); strings.Contains(out, "headend-agent") {
			t.Errorf("with %q: %s", drop, out)
		}
	}
	t.Log(lastLine(must(t, nil, "systemd-analyze", "security", "--offline=true", "--threshold=25", unit)))
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
