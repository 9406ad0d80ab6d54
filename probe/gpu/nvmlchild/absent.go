//go:build !linux || !cgo || nonvml

package nvmlchild

import (
	"fmt"
	"io"
)

// Built tells whether this build can talk to NVIDIA's library.
const Built = false

const notBuilt = "this build has no NVML: it was made without cgo or with -tags nonvml"

type driver struct{}

func open(string) (*driver, *Report) { return nil, &Report{Code: CodeNotBuilt, Text: notBuilt} }

func (*driver) sample() *Report { return new(Report) }

func (*driver) look() {}

func (*driver) close() {}

func smokeTest(_ string, _ int, _, stderr io.Writer) int {
	fmt.Fprintln(stderr, notBuilt)
	return 1
}
