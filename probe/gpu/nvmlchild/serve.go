package nvmlchild

import (
	"errors"
	"flag"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"headend-agent/internal/lean"
)

// lastGrace is how long a call of the library gets to return when the child is to end and nobody is left to hurry it by SIGTERM.
const lastGrace = 20 * time.Second

// The child gives memory back when it has used all that it ever needs, and from time to time thereafter: a report leaves some 7 KiB of
// garbage.
const (
	settled   = 5 // reports
	leanEvery = 200
)

// lookEvery is how many reports there are to a look at what changes seldom, or slowly.
const lookEvery = 10

// Main is the child. It returns its exit status.
func Main(args []string, in *os.File, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("gpu-child", flag.ContinueOnError)
	f.SetOutput(stderr)
	library := f.String(LibraryFlag, "", "driver library (default libnvidia-ml.so.1, found by the dynamic linker)")
	smoke := f.Bool("smoke", false, "print every reading of every GPU with its return code and cost, and end")
	rounds := f.Int("rounds", 20, "how often to take each reading for --smoke")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	runtime.LockOSThread() // all calls come from one thread, the first
	if *smoke {
		return smokeTest(*library, max(*rounds, 1), stdout, stderr)
	}
	return serve(*library, in, os.NewFile(AnswerFD, "answers"))
}

// serve loads the library and answers requests until in ends.
func serve(library string, in *os.File, answers io.Writer) int {
	var d *driver
	var work sync.Mutex // held but while there is nothing to do
	work.Lock()
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP) // a terminal's go to the agent too, and it knows what to do
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		select {
		case <-hangup(in):
		case <-term:
		}
		go func() {
			work.Lock()
			d.close()
			os.Exit(0)
		}()
		select { // a call may be stuck
		case <-term:
		case <-time.After(lastGrace):
		}
		os.Exit(1)
	}()

	var first *Report
	d, first = open(library)
	if d != nil {
		defer d.close()
	}
	var frame []byte
	send := func(r *Report) bool {
		frame = AppendFrame(frame[:0], r)
		_, err := answers.Write(frame)
		return err == nil // else nobody reads it any more
	}
	rss := residentMemory()
	if first.RSS = rss; !send(first) || d == nil {
		return 1
	}
	request := make([]byte, 1)
	for n := 1; ; n++ {
		work.Unlock()
		_, err := in.Read(request)
		work.Lock()
		if err != nil {
			return 0
		}
		if n%lookEvery == 1 {
			rss = residentMemory()
			d.look()
		}
		r := d.sample()
		r.RSS = rss
		if !send(r) {
			return 1
		}
		if n%leanEvery == settled {
			lean.Out()
		}
	}
}

// hangup is closed when the other end of a pipe is. It does not wake for what the pipe brings.
func hangup(pipe *os.File) <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		fds := []unix.PollFd{{Fd: int32(pipe.Fd())}}
		for {
			if _, err := unix.Poll(fds, -1); err != unix.EINTR {
				return
			}
		}
	}()
	return gone
}

// residentMemory returns how much memory of the process is resident, in bytes; 0 where that cannot be told.
func residentMemory() uint64 {
	b, _ := os.ReadFile("/proc/self/statm")
	f := strings.Fields(string(b)) // total, resident, in pages
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(f[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}
