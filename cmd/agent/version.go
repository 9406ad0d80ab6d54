package main

import (
	"fmt"
	"io"
	"runtime"
	"time"
)

// Set by the linker: -X main.version=... -X main.revision=... -X main.built=...
var (
	version  = "0.1.0-dev"
	revision = "unknown"
	built    = "2026-11-01T00:00:00Z"
)

// buildDate is a date that no right clock shows less than.
func buildDate() time.Time {
	t, err := time.Parse(time.RFC3339, built)
	if err != nil {
		return time.Time{}
	}
	return t
}

func versionCommand(_ []string, stdout, _ io.Writer) int {
	fmt.Fprintf(stdout, "headend-agent, version %s (revision: %s)\n  build date: %s\n  go version: %s\n  platform:   %s/%s\n",
		version, revision, built, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return 0
}
