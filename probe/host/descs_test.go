package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headend-agent/internal/metric"
)

// namedByKernel holds the beginnings of families that are made of what the kernel calls its files: Kind.Descs cannot know all.
var namedByKernel = map[string]string{"bcachefs": "node_bcachefs_", "hwmon": "node_hwmon_", "rapl": "node_rapl_", "zfs": "node_zfs_"}

// What METRICS.md says is made of Kind.Descs: they must hold whatever the recorded machines show.
func TestDescsListWhatIsEmitted(t *testing.T) {
	owner := map[string]string{}
	for _, k := range Kinds() {
		types := map[string]string{}
		for _, d := range k.Descs {
			if other, taken := owner[d.Name]; taken {
				t.Errorf("%s is of %s and of %s", d.Name, other, k.Name)
			}
			owner[d.Name] = k.Name
			if d.Help == "" {
				t.Errorf("%s has no help", d.Name)
			}
			types[d.Name] = d.Type.String()
			if d.Type == metric.Unknown {
				types[d.Name] = "untyped"
			}
		}
		golden, err := os.ReadFile(filepath.Join("testdata", k.Name, "golden.txt"))
		if err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(string(golden)) {
			f := strings.Fields(line)
			if prefix := namedByKernel[k.Name]; prefix != "" && len(f) == 4 && types[f[2]] == "" && strings.HasPrefix(f[2], prefix) {
				continue
			}
			if len(f) == 4 && f[1] == "TYPE" && types[f[2]] != f[3] {
				t.Errorf("%s: %s is emitted as %s, listed as %q", k.Name, f[2], f[3], types[f[2]])
			}
		}
	}
}
