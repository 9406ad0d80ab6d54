package host

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/prometheus/procfs"

	"headend-agent/probe"
)

// A file system is asked at the path where it is mounted, whatever characters that has.
func TestBtrfsIsAskedWhereItIsMounted(t *testing.T) {
	root := t.TempDir()
	self := filepath.Join(root, "proc", "1")
	if err := os.MkdirAll(self, 0o755); err != nil {
		t.Fatal(err)
	}
	const mounts = `36 25 0:31 / /srv/my\040old\134disk\011 rw,relatime shared:1 - btrfs /dev/sdb rw
37 25 0:32 / /srv/plain rw,relatime shared:2 - btrfs /dev/sdc rw
38 25 0:33 / /srv/other rw,relatime shared:3 - ext4 /dev/sdd rw
`
	if err := os.WriteFile(filepath.Join(self, "mountinfo"), []byte(mounts), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("1", filepath.Join(root, "proc", "self")); err != nil {
		t.Fatal(err)
	}
	fs, err := procfs.NewFS(filepath.Join(root, "proc"))
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	p := btrfsProbe{proc: fs, env: probe.Env{Root: "/"}, ask: func(dir string) (string, []btrfsDevice, error) {
		asked = append(asked, dir)
		return dir, nil, nil
	}}
	p.devices()
	if want := []string{"/srv/my old\\disk\t", "/srv/plain"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}
