package scrape

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	textfileMtime = &metric.Desc{Name: "node_textfile_mtime_seconds", Help: "Unix time of the last change of a file that was read.",
		Type: metric.Gauge, Unit: metric.Seconds, Labels: []string{"file"}}
	textfileError   = &metric.Desc{Name: "node_textfile_scrape_error", Help: "Whether a directory or file could not be read.", Type: metric.Gauge}
	textfileDropped = droppedDesc("textfile", "files")
	textfileDescs   = []*metric.Desc{textfileMtime, textfileError, textfileDropped}
)

// TextfileConfig names where scripts leave *.prom files.
type TextfileConfig struct {
	Directories []string `yaml:"directories"` // patterns; /var/lib/headend-agent/textfile unless set
}

const (
	textfileDir   = "/var/lib/headend-agent/textfile"
	textfileLimit = 16 << 20 // bytes of a file
)

// textfile reads *.prom files, by node_exporter's rules: a file that is broken or has timestamps is left out whole.
type textfile struct {
	patterns []string
	files    map[string]*relay
	lines    *lines // of all of them
	owners   map[string]string
	own      ownNames
}

func newTextfile(decode func(any) error, env probe.Env) (probe.Probe, error) {
	var c TextfileConfig
	if err := decode(&c); err != nil {
		return nil, err
	}
	if len(c.Directories) == 0 {
		c.Directories = []string{env.RootFile(textfileDir)}
	}
	for _, d := range c.Directories {
		if _, err := filepath.Match(d, ""); err != nil {
			return nil, fmt.Errorf("directory %q: %w", d, err)
		}
	}
	return &textfile{
		patterns: c.Directories, files: map[string]*relay{}, lines: &lines{size: chunkSize, whole: true}, owners: env.Owners, own: ownNames{log: env.Log},
	}, nil
}

// Collect emits nothing where there is no directory.
func (p *textfile) Collect(_ context.Context, out *metric.Set) error {
	paths, found, err := p.list()
	if !found && err == nil {
		return nil
	}
	out.Add(textfileError, 0)
	errs := []error{err}
	seen := map[string]*relay{}
	owned := 0
	for _, path := range paths {
		r := p.files[path]
		if r == nil {
			r = newRelay(rules{ownTimes: refuseTimes, limits: limits{bytes: textfileLimit}, owners: p.owners}, p.lines)
		}
		seen[path] = r
		mark := out.Mark()
		n, err := p.read(path, r, out)
		if err != nil {
			out.Rewind(mark)
			errs = append(errs, fmt.Errorf("read %s: %w", path, err))
		}
		owned += n.owned
	}
	p.files = seen
	if p.own.count(owned); p.own.total > 0 {
		out.Add(textfileDropped, float64(p.own.total), ownName)
	}
	if err := errors.Join(errs...); err != nil {
		out.Amend(0, 1)
		return &probe.Partial{Err: err}
	}
	return nil
}

// list finds the files, in order; found tells whether any directory is there.
func (p *textfile) list() (paths []string, found bool, err error) {
	for _, pattern := range p.patterns {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			entries, readErr := os.ReadDir(dir)
			if readErr != nil {
				err = errors.Join(err, fmt.Errorf("list directory: %w", readErr))
			}
			found = true
			for _, e := range entries {
				if filepath.Ext(e.Name()) == ".prom" {
					paths = append(paths, filepath.Join(dir, e.Name()))
				}
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), found, err
}

func (p *textfile) read(path string, r *relay, out *metric.Set) (counts, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not block
	if err != nil {
		return counts{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return counts{}, err
	}
	if !info.Mode().IsRegular() {
		return counts{}, errors.New("not a regular file")
	}
	n, err := r.read(f, textType, out)
	if err != nil {
		return counts{}, err
	}
	out.Add(textfileMtime, float64(info.ModTime().UnixNano())/1e9, path)
	return n, nil
}
