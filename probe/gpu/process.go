package gpu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"headend-agent/probe/gpu/nvmlchild"
)

// ChildCommand is the word of the command line that makes the program the child.
const ChildCommand = "gpu-child"

var (
	errPending = errors.New("no answer yet")
	errEnded   = errors.New("the process has ended")
)

// process is a child at work. It is used by one goroutine at a time.
type process struct {
	cmd     *exec.Cmd
	input   *os.File
	answers *os.File
	said    tail
	done    chan struct{} // closed when it has ended and left nothing behind
	started time.Time
	since   time.Time // when the outstanding request was made; zero while there is none
	buf     []byte    // of an answer, the part that has come
}

// passed are the variables of the environment that the child gets; the others may be secrets.
var passed = []string{"LD_LIBRARY_PATH", "PATH", "HOME"}

// startProcess runs this program again as the child. It has one request outstanding: for the first report, which comes by itself.
func startProcess(args ...string) (*process, error) {
	fail := func(err error) (*process, error) { return nil, fmt.Errorf("start %s: %w", ChildCommand, err) }
	childIn, input, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer childIn.Close()
	answers, childOut, err := os.Pipe()
	if err != nil {
		input.Close()
		return fail(err)
	}
	defer childOut.Close()
	p := &process{input: input, answers: answers, done: make(chan struct{}), started: time.Now(), since: time.Now()}
	p.cmd = &exec.Cmd{
		Path: "/proc/self/exe", // the very program, even when an upgrade has replaced its file
		Args: append([]string{"headend-agent", ChildCommand}, args...),
		// To collect garbage touches half of the program; the child does it by itself, and gives back what it took. Its heap is smaller
		// than a huge page.
		Env: []string{"GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=16MiB", "GODEBUG=disablethp=1", "MALLOC_ARENA_MAX=1"},
		// The driver library may print what it likes: answers have a pipe of their own.
		Stdin: childIn, Stdout: &p.said, Stderr: &p.said, ExtraFiles: []*os.File{childOut}, WaitDelay: time.Second,
	}
	for _, name := range passed {
		if v, ok := os.LookupEnv(name); ok {
			p.cmd.Env = append(p.cmd.Env, name+"="+v)
		}
	}
	if err := p.cmd.Start(); err != nil {
		input.Close()
		answers.Close()
		return fail(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// ask makes a request, unless one is outstanding, and waits for the answer until ctx ends or the request is limit old.
func (p *process) ask(ctx context.Context, limit time.Duration) (*nvmlchild.Report, error) {
	if p.since.IsZero() {
		if _, err := p.input.Write([]byte{nvmlchild.SampleRequest}); err != nil {
			return nil, errEnded
		}
		p.since = time.Now()
	}
	ctx, cancel := context.WithDeadline(ctx, p.since.Add(limit))
	defer cancel()
	end, _ := ctx.Deadline()
	p.answers.SetReadDeadline(end)
	stop := context.AfterFunc(ctx, func() { p.answers.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		r, rest, missing, err := nvmlchild.CutFrame(p.buf)
		if err != nil {
			return nil, err
		}
		if r != nil {
			p.buf, p.since = append(p.buf[:0], rest...), time.Time{}
			return r, nil
		}
		at := len(p.buf)
		p.buf = append(p.buf, make([]byte, missing)...)
		n, err := p.answers.Read(p.buf[at:])
		p.buf = p.buf[:at+n]
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, errPending
		}
		if err != nil {
			return nil, errEnded
		}
	}
}

// end asks the process to end and sees to it that it does: the end of its input, SIGTERM, SIGKILL, each some time after the other,
// since a killed process has been seen to leave the GPU hanging.
func (p *process) end(step time.Duration) {
	p.input.Close()
	go func() {
		defer p.answers.Close()
		for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			select {
			case <-p.done:
				return
			case <-time.After(step):
				p.cmd.Process.Signal(s)
			}
		}
		<-p.done
	}()
}

// epitaph tells how it has ended.
func (p *process) epitaph() string {
	select {
	case <-p.done:
	case <-time.After(time.Second):
		return "its answers have ended"
	}
	s := p.cmd.ProcessState.String()
	if last := p.said.lastLine(); last != "" {
		s += ": " + last
	}
	return s
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 16 << 10 // a crash is that long

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b[max(0, len(b)-tailSize):]...)
	t.b = append(t.b[:0], t.b[max(0, len(t.b)-tailSize):]...)
	return len(b), nil
}

// lastLine returns the line that says most: that with which a crash of Go's runtime begins, else the last.
func (t *tail) lastLine() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(t.b), "")), "\n")
	for _, l := range lines {
		if strings.HasPrefix(l, "SIG") || strings.HasPrefix(l, "panic: ") || strings.HasPrefix(l, "fatal error: ") {
			return l
		}
	}
	return lines[len(lines)-1]
}
