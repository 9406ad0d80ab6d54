package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// FilesystemConfig configures the probe "filesystem".
type FilesystemConfig struct {
	MountPointsExclude string         `yaml:"mount_points_exclude"` // regular expression
	FSTypesExclude     string         `yaml:"fs_types_exclude"`     // regular expression
	MountTimeout       model.Duration `yaml:"mount_timeout"`        // after which a mount that does not answer is given up; 5s
}

var (
	filesystemSize = filesystemDesc("size_bytes", "Size of the file system.", metric.Bytes)
	filesystemRows = []row[unix.Statfs_t]{
		{filesystemSize, func(s *unix.Statfs_t) float64 { return float64(s.Blocks) * float64(s.Bsize) }},
		{filesystemDesc("free_bytes", "Free space.", metric.Bytes), func(s *unix.Statfs_t) float64 { return float64(s.Bfree) * float64(s.Bsize) }},
		{filesystemDesc("avail_bytes", "Free space that is not kept for root.", metric.Bytes), func(s *unix.Statfs_t) float64 { return float64(s.Bavail) * float64(s.Bsize) }},
		{filesystemDesc("files", "Inodes.", metric.None), func(s *unix.Statfs_t) float64 { return float64(s.Files) }},
		{filesystemDesc("files_free", "Free inodes.", metric.None), func(s *unix.Statfs_t) float64 { return float64(s.Ffree) }},
	}
	filesystemError    = filesystemDesc("device_error", "Whether the file system does not answer.", metric.None)
	filesystemReadonly = filesystemDesc("readonly", "Whether the file system is read-only.", metric.None)
	filesystemMount    = &metric.Desc{Name: "node_filesystem_mount_info", Help: "Device number of the file system, value 1.", Type: metric.Gauge, Labels: []string{"device", "major", "minor", "mountpoint"}}

	diskSize        = &metric.Desc{Name: "flussonic_disk_size", Help: "Size of the file system.", Type: metric.Gauge, Unit: metric.Bytes, Labels: []string{"path", "device"}}
	diskSpaceUsage  = &metric.Desc{Name: "flussonic_disk_usage", Help: "Used space in percent of what programs can use, as df counts.", Type: metric.Gauge, Unit: metric.Percent, Labels: []string{"path", "device"}}
	filesystemDescs = descs(filesystemRows, filesystemError, filesystemReadonly, filesystemMount, diskSize, diskSpaceUsage)
)

func filesystemDesc(name, help string, unit metric.Unit) *metric.Desc {
	return &metric.Desc{Name: "node_filesystem_" + name, Help: help, Type: metric.Gauge, Unit: unit, Labels: []string{"device", "mountpoint", "fstype", "device_error"}}
}

// filesystem reads /proc/1/mountinfo and asks each mount by statfs(2).
type filesystem struct {
	fs            procfs.FS
	root          string
	mountsExclude exclusion
	typesExclude  exclusion
	ask           *asker

	mounts []mount
	seen   map[mountKey]bool
}

// mount is one file system where it is mounted. statfs shows only the topmost of what is mounted at one point.
type mount struct {
	mountKey
	id           int
	major, minor string
	readonly     float64
}

type mountKey struct{ device, point, fstype string }

func newFilesystem(decode func(any) error, env probe.Env) (probe.Probe, error) {
	c := FilesystemConfig{
		MountPointsExclude: `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`,
		FSTypesExclude: `^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs` +
			`|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$`,
		MountTimeout: model.Duration(5 * time.Second),
	}
	if err := decode(&c); err != nil {
		return nil, err
	}
	if c.MountTimeout <= 0 {
		return nil, fmt.Errorf("mount_timeout: %s is not longer than nothing", c.MountTimeout)
	}
	mountsExclude, err := compileExclusion("mount_points_exclude", c.MountPointsExclude)
	if err != nil {
		return nil, err
	}
	typesExclude, err := compileExclusion("fs_types_exclude", c.FSTypesExclude)
	if err != nil {
		return nil, err
	}
	fs, err := procfs.NewFS(env.Proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return &filesystem{
		fs: fs, root: env.Root, mountsExclude: mountsExclude, typesExclude: typesExclude,
		ask: newAsker(time.Duration(c.MountTimeout), env.Log), seen: map[mountKey]bool{},
	}, nil
}

// Inherit takes over the calls that hang: a reload does not ask those mounts again.
func (p *filesystem) Inherit(before probe.Probe) {
	if b, ok := before.(*filesystem); ok {
		p.ask.stuck, p.ask.answered = b.ask.stuck, b.ask.answered
	}
}

func (p *filesystem) Collect(ctx context.Context, out *metric.Set) error {
	if err := p.readMounts(); err != nil {
		return fmt.Errorf("read mounts: %w", err)
	}
	answers := p.ask.all(ctx, p.root, p.mounts)
	for i, m := range p.mounts {
		a := answers[i]
		if a.err != nil {
			why := a.err.Error()
			out.Add(filesystemError, 1, m.device, m.point, m.fstype, why)
			out.Add(filesystemReadonly, m.readonly, m.device, m.point, m.fstype, why)
			continue
		}
		out.Add(filesystemError, 0, m.device, m.point, m.fstype, "")
		out.Add(filesystemReadonly, m.readonly, m.device, m.point, m.fstype, "")
		for _, r := range filesystemRows {
			out.Add(r.desc, r.value(&a.stat), m.device, m.point, m.fstype, "")
		}
		out.Add(filesystemMount, 1, m.device, m.major, m.minor, m.point)
		addDiskUsage(out, m, &a.stat)
	}
	return nil
}

// addDiskUsage adds the media server's rows: of disks, which file systems in memory are not.
func addDiskUsage(out *metric.Set, m mount, s *unix.Statfs_t) {
	if m.fstype == "tmpfs" || m.fstype == "ramfs" || s.Blocks == 0 {
		return
	}
	out.Add(diskSize, float64(s.Blocks)*float64(s.Bsize), m.point, m.device)
	used := float64(s.Blocks - s.Bfree)
	if usable := used + float64(s.Bavail); usable > 0 {
		out.Add(diskSpaceUsage, 100*used/usable, m.point, m.device)
	}
}

// readMounts lists what the first process sees; with hidepid, what this one sees.
func (p *filesystem) readMounts() error {
	infos, err := p.fs.GetProcMounts(1)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		infos, err = p.fs.GetMounts()
	}
	if err != nil {
		return err
	}
	p.mounts = p.mounts[:0]
	clear(p.seen)
	for _, i := range infos {
		m := mount{mountKey: mountKey{i.Source, p.stripRoot(mountPath(i)), i.FSType}, id: i.MountID}
		if p.seen[m.mountKey] || p.mountsExclude.has(m.point) || p.typesExclude.has(m.fstype) {
			continue
		}
		p.seen[m.mountKey] = true
		m.major, m.minor, _ = strings.Cut(i.MajorMinorVer, ":")
		m.readonly = readonly(i)
		p.mounts = append(p.mounts, m)
	}
	return nil
}

// stripRoot turns a path of this process into one of the machine, where that is mounted under root.
func (p *filesystem) stripRoot(point string) string {
	if root := filepath.Clean(p.root); root != "/" {
		if rest, ok := strings.CutPrefix(point, root); ok && (rest == "" || rest[0] == '/') {
			return "/" + strings.TrimPrefix(rest, "/")
		}
	}
	return point
}

// readonly tells 1 where the mount or its file system is; emergency_ro is what ext4 becomes after an error.
func readonly(m *procfs.MountInfo) float64 {
	_, mount := m.Options["ro"]
	_, super := m.SuperOptions["ro"]
	_, emergency := m.SuperOptions["emergency_ro"]
	if mount || super || emergency {
		return 1
	}
	return 0
}
