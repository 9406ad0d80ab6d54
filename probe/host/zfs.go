package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// zfsFiles pairs the files of /proc/spl/kstat/zfs with the beginning of their families' names.
var zfsFiles = [...][2]string{
	{"abdstats", "node_zfs_abd_"}, {"arcstats", "node_zfs_arc_"}, {"dbufstats", "node_zfs_dbuf_"}, {"dmu_tx", "node_zfs_dmu_tx_"},
	{"dnodestats", "node_zfs_dnode_"}, {"fm", "node_zfs_fm_"}, {"vdev_cache_stats", "node_zfs_vdev_cache_"},
	{"vdev_mirror_stats", "node_zfs_vdev_mirror_"}, {"xuio_stats", "node_zfs_xuio_"}, {"zfetchstats", "node_zfs_zfetch_"}, {"zil", "node_zfs_zil_"},
}

const (
	zfsPoolPrefix    = "node_zfs_zpool_"
	zfsDatasetPrefix = "node_zfs_zpool_dataset_"
)

var (
	zfsPoolState   = &metric.Desc{Name: "node_zfs_zpool_state", Help: "Whether the pool is in this state.", Type: metric.Gauge, Labels: []string{"zpool", "state"}}
	zfsDescs       = []*metric.Desc{zfsPoolState}
	zfsPoolStates  = [...]string{"online", "degraded", "faulted", "offline", "removed", "unavail", "suspended"}
	zfsPoolLabels  = []string{"zpool"}
	zfsDatasetTags = []string{"zpool", "dataset"}
)

// zfs reads /proc/spl/kstat/zfs, which procfs does not. Families are named after the kernel's statistics, untyped as with
// node_exporter: the files do not tell counters from gauges.
type zfs struct {
	dir      string
	families map[string]map[string]*metric.Desc // by prefix and statistic
}

func newZFS(_ func(any) error, env probe.Env) (probe.Probe, error) {
	return &zfs{filepath.Join(env.Proc, "spl/kstat/zfs"), map[string]map[string]*metric.Desc{}}, nil
}

func (p *zfs) family(prefix, statistic string, labels []string) *metric.Desc {
	byName := p.families[prefix]
	if byName == nil {
		byName = map[string]*metric.Desc{}
		p.families[prefix] = byName
	}
	d := byName[statistic]
	if d == nil {
		statistic = strings.Clone(statistic)
		last := statistic[strings.LastIndexByte(statistic, '.')+1:]
		d = &metric.Desc{Name: prefix + strings.ReplaceAll(last, "-", "_"), Help: "ZFS statistic " + statistic + ".", Labels: labels}
		byName[statistic] = d
	}
	return d
}

func (p *zfs) Collect(ctx context.Context, out *metric.Set) error {
	entries, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list ZFS statistics: %w", err)
	}
	for _, f := range zfsFiles {
		if err := p.collectFile(f[0], f[1], out); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := p.collectPool(ctx, e.Name(), out); err != nil {
			return fmt.Errorf("read pool %s: %w", e.Name(), err)
		}
	}
	return nil
}

// collectFile leaves out what this version of ZFS has not got.
func (p *zfs) collectFile(file, prefix string, out *metric.Set) error {
	text, err := os.ReadFile(filepath.Join(p.dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read ZFS statistics: %w", err)
	}
	err = parseKstat(string(text), func(name, kind, data string) error {
		var v float64
		switch kind {
		case kstatInt64:
			n, err := strconv.ParseInt(data, 10, 64)
			if err != nil {
				return err
			}
			v = float64(n)
		case kstatUint64:
			n, err := strconv.ParseUint(data, 10, 64)
			if err != nil {
				return err
			}
			v = float64(n)
		default:
			return nil
		}
		out.Add(p.family(prefix, name, nil), v)
		return nil
	})
	if err != nil {
		return fmt.Errorf("parse ZFS statistics %s: %w", file, err)
	}
	return nil
}

// collectPool reads a pool's files. A pool can be exported meanwhile.
func (p *zfs) collectPool(ctx context.Context, pool string, out *metric.Set) error {
	files, err := os.ReadDir(filepath.Join(p.dir, pool))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range files {
		isObjset := strings.HasPrefix(f.Name(), "objset-")
		if f.Name() != "io" && f.Name() != "state" && !isObjset {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err() // there is a file for each dataset
		}
		text, err := os.ReadFile(filepath.Join(p.dir, pool, f.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		switch {
		case isObjset:
			err = p.addObjset(pool, string(text), out)
		case f.Name() == "io":
			err = p.addPoolIO(pool, string(text), out)
		default:
			state := strings.ToLower(strings.TrimSpace(string(text)))
			for _, s := range zfsPoolStates {
				out.Add(zfsPoolState, boolValue(s == state), pool, s)
			}
		}
		if err != nil {
			return fmt.Errorf("parse %s: %w", f.Name(), err)
		}
	}
	return nil
}

func (p *zfs) addObjset(pool, text string, out *metric.Set) error {
	dataset := ""
	return parseKstat(text, func(name, kind, data string) error {
		switch {
		case name == "dataset_name":
			dataset = data
		case kind == kstatUint64 && dataset != "":
			n, err := strconv.ParseUint(data, 10, 64)
			if err != nil {
				return err
			}
			out.Add(p.family(zfsDatasetPrefix, name, zfsDatasetTags), float64(n), pool, dataset)
		}
		return nil
	})
}

// addPoolIO takes the line of names, and the numbers below it. ZFS has no such file since 2.1.
func (p *zfs) addPoolIO(pool, text string, out *metric.Set) error {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case names == nil && len(fields) >= 12 && fields[0] == "nread":
			names = fields
			continue
		case names == nil || len(fields) == 0:
			continue
		case len(fields) < len(names):
			return errors.New("fewer numbers than names")
		}
		for i, name := range names {
			n, err := strconv.ParseUint(fields[i], 10, 64)
			if err != nil {
				return err
			}
			out.Add(p.family(zfsPoolPrefix, name, zfsPoolLabels), float64(n), pool)
		}
	}
	if names == nil {
		return errors.New("no line of names")
	}
	return nil
}
