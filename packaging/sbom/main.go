// Command sbom tells what is in a Go program: the modules as a CycloneDX document, and their licences as one text.
//
//	sbom -program FILE -name NAME -version VERSION -sbom OUT.json -notices OUT.txt
//
// It runs in the module that the program was built from and fails where a module has no licence that it knows.
package main

import (
	"debug/buildinfo"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	program := flag.String("program", "", "the program")
	name := flag.String("name", "", "its name")
	version := flag.String("version", "", "its version")
	sbom := flag.String("sbom", "", "where the CycloneDX document goes")
	notices := flag.String("notices", "", "where the licence texts go")
	flag.Parse()
	modules, err := modulesOf(*program)
	if err == nil {
		err = os.WriteFile(*sbom, document(*name, *version, modules), 0o644)
	}
	if err == nil {
		err = os.WriteFile(*notices, []byte(texts(*name, modules)), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// module is one of those that the program is made of.
type module struct {
	path, version, sum string
	licences           []string // SPDX identifiers
	files              []file   // licences and notices
}

type file struct{ name, text string }

// modulesOf reads the program's own record of what it was built from, and the licences from the module cache.
func modulesOf(program string) ([]module, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	root, err := goSays("env", "GOROOT")
	if err != nil {
		return nil, err
	}
	all := []module{{path: "std", version: strings.TrimPrefix(info.GoVersion, "go")}}
	dirs := []string{root}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		dir, err := goSays("list", "-m", "-f", "{{.Dir}}", d.Path)
		if err != nil {
			return nil, err
		}
		all = append(all, module{path: d.Path, version: d.Version, sum: d.Sum})
		dirs = append(dirs, dir)
	}
	for i := range all {
		if err := all[i].read(dirs[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func goSays(args ...string) (string, error) {
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// read takes the licence files from the module's directory.
func (m *module) read(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	for _, e := range entries {
		upper := strings.ToUpper(e.Name())
		licence := strings.HasPrefix(upper, "LICEN") || strings.HasPrefix(upper, "COPYING")
		if e.IsDir() || !licence && !strings.HasPrefix(upper, "NOTICE") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return fmt.Errorf("%s: %w", m.path, err)
		}
		m.files = append(m.files, file{e.Name(), string(text)})
		if licence {
			ids := identify(string(text))
			if len(ids) == 0 {
				return fmt.Errorf("%s: %s is no licence that is known here; read it, then add it", m.path, e.Name())
			}
			m.licences = append(m.licences, ids...)
		}
	}
	if len(m.licences) == 0 {
		return fmt.Errorf("%s has no licence", m.path)
	}
	return nil
}
