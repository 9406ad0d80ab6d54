package main

import (
	"crypto/tls"
	"crypto/x509"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"headend-agent/internal/receiver"
)

// program is what the sources say.
type program struct {
	dir      string   // that is being read
	texts    []string // every string in them
	warnings []string // what is logged as a warning or an error
	reasons  []string // for which samples are given up
	bare     []string // findings of doctor without a remedy
}

// sources reads the program's own files.
func sources(t *testing.T) program {
	t.Helper()
	var p program
	for _, dir := range []string{"cmd", "probe", "push", "buffer", "internal"} {
		p.dir = dir
		err := filepath.WalkDir("../../"+dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err == nil {
				ast.Inspect(file, p.see)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *program) see(n ast.Node) bool {
	switch x := n.(type) {
	case *ast.BasicLit:
		p.texts = append(p.texts, literal(x))
	case *ast.BinaryExpr: // a text in two pieces
		if text := literal(x); text != "" {
			p.texts = append(p.texts, text)
		}
	case *ast.CallExpr:
		name := ""
		switch f := x.Fun.(type) {
		case *ast.SelectorExpr:
			name = f.Sel.Name
		case *ast.Ident:
			name = f.Name
		}
		first := ""
		if len(x.Args) > 0 {
			first = literal(x.Args[0])
		}
		switch {
		case (name == "Warn" || name == "Error") && first != "":
			p.warnings = append(p.warnings, first)
		case name == "drop" && first != "":
			p.reasons = append(p.reasons, first)
		case (name == "warn" || name == "fail") && len(x.Args) > 2:
			if lit, ok := x.Args[1].(*ast.BasicLit); ok && literal(lit) == "" {
				p.bare = append(p.bare, literal(x.Args[2]))
			}
		}
	case *ast.CompositeLit: // the buffer counts its losses in one
		if m, ok := x.Type.(*ast.MapType); ok && p.dir == "buffer" && isIdent(m.Key, "string") && isIdent(m.Value, "int") {
			for _, e := range x.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok && literal(kv.Key) != "" {
					p.reasons = append(p.reasons, literal(kv.Key))
				}
			}
		}
	}
	return true
}

func isIdent(e ast.Expr, name string) bool {
	i, ok := e.(*ast.Ident)
	return ok && i.Name == name
}

// literal returns a text that is written down, also in pieces.
func literal(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.BasicLit:
		if x.Kind == token.STRING {
			text, _ := strconv.Unquote(x.Value)
			return text
		}
	case *ast.BinaryExpr:
		if a, b := literal(x.X), literal(x.Y); a != "" && b != "" {
			return a + b
		}
	}
	return ""
}

// foreign are messages of the system and of Go, as they come about.
func foreign(t *testing.T) []string {
	t.Helper()
	ask := func(address string, change ...func(*http.Transport)) error {
		way := &http.Transport{DisableKeepAlives: true}
		for _, f := range change {
			f(way)
		}
		client := http.Client{Transport: way}
		r, err := client.Get(address)
		if err == nil {
			r.Body.Close()
		}
		return err
	}
	plain := httptest.NewServer(&receiver.Receiver{})
	defer plain.Close()
	secure := httptest.NewUnstartedServer(&receiver.Receiver{})
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	expired, file := secured(t, "127.0.0.1", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour), tls.NoClientCert)
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(readFile(t, file))
	_, resolveErr := net.LookupHost("a..b") // no name at all, so nobody is asked
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, listenErr := net.Listen("tcp", l.Addr().String())
	var texts []string
	for _, err := range []error{
		ask("http://127.0.0.1:1/"), ask(secure.URL), ask("https://" + strings.TrimPrefix(plain.URL, "http://")),
		ask(expired, func(w *http.Transport) { w.TLSClientConfig = &tls.Config{RootCAs: trusted} }),
		ask("https://prometheus.example/", func(w *http.Transport) { w.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:1"}) }),
		resolveErr, listenErr, syscall.ENETUNREACH, syscall.EACCES,
	} {
		if err == nil {
			t.Fatal("something that must fail works")
		}
		texts = append(texts, err.Error())
	}
	return texts
}

// receivers are words of receivers: Prometheus' storage, and the identifiers of Mimir's runbooks.
var receivers = []string{
	"out of order sample", "out of bounds", "too old sample", "duplicate sample for timestamp", "timestamp is too far in the future",
	"err-mimir-sample-timestamp-too-old", "err-mimir-too-far-in-future", "err-mimir-max-label-names-per-series", "err-mimir-max-series-per-user",
	"HTTP 429",
}

var quoted = regexp.MustCompile("`([^`]+)`")

// The page quotes only what is really said, and explains each warning, each reason of a loss; each finding of doctor has a remedy.
func TestTroubleshootingPage(t *testing.T) {
	p := sources(t)
	if len(p.warnings) < 20 || len(p.reasons) < 8 {
		t.Fatalf("only %d warnings and %d reasons are in the sources", len(p.warnings), len(p.reasons))
	}
	said := slices.Concat(p.texts, foreign(t), receivers)
	var page []string
	for line := range strings.SplitSeq(string(readFile(t, "../../docs/troubleshooting.md")), "\n") {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		first, _, _ := strings.Cut(line[2:], " | ")
		for _, m := range quoted.FindAllStringSubmatch(first, -1) {
			page = append(page, m[1])
			if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, m[1]) }) {
				t.Errorf("nobody says %q", m[1])
			}
		}
	}
	for _, w := range p.warnings {
		if !slices.ContainsFunc(page, func(m string) bool { return strings.Contains(w, m) }) {
			t.Errorf("the page does not explain %q", w)
		}
	}
	for _, r := range p.reasons {
		if !slices.Contains(page, r) {
			t.Errorf("the page does not explain why samples are dropped for %s", r)
		}
	}
	if len(p.bare) > 0 {
		t.Errorf("findings of doctor without a remedy: %q", p.bare)
	}
}
