package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"headend-agent/probe/gpu/nvmlchild"
)

// gpuChild is the process that talks to NVIDIA's driver. The agent starts it; nobody else needs it, so no help names it.
func gpuChild(args []string, stdout, stderr io.Writer) int {
	return nvmlchild.Main(args, os.Stdin, stdout, stderr)
}

// releaser is a probe that holds devices open and can let go of them.
type releaser interface {
	Release(ctx context.Context, d time.Duration) error
}

// errNoGPU says that there is nothing to release.
var errNoGPU = errors.New("no probe holds a GPU")

// releaseGPUs makes the probes leave their GPUs alone for d, and returns when they do.
func (a *agent) releaseGPUs(ctx context.Context, d time.Duration) error {
	a.mu.Lock()
	list := a.instances
	a.mu.Unlock()
	some := false
	for _, i := range list {
		if r, ok := i.Probe.(releaser); ok {
			some = true
			if err := r.Release(ctx, d); err != nil {
				return err
			}
		}
	}
	if !some {
		return errNoGPU
	}
	return nil
}
