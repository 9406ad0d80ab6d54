package host

import (
	"strings"

	"github.com/prometheus/procfs"
)

// mountPath returns where a file system is mounted, as a path. The kernel writes some bytes of it as octal escapes in
// /proc/PID/mountinfo (show_mountinfo in fs/proc_namespace.c), and procfs leaves them as they are.
func mountPath(m *procfs.MountInfo) string { return unescape.Replace(m.MountPoint) }

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
