package sim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// The driver runs lives in child processes: a life that panics, or hangs, ends only its own. It is steered by the environment:
//
//	SIM_LIVES    how many lives to live; 10 where nothing is said
//	SIM_SEED     of the first life; 1 where nothing is said; "new": another one each time, which is printed
//	SIM_MINUTES  ends the run earlier, after so many minutes
//	SIM_STATE    a file that sums up the runs: the next one goes on with the next seed
//	SIM_PLAN     a file with one plan, to live that alone and to print its history
//	SIM_FIRST    anything: the run ends with the first life that fails, which is not shrunk; it is enough to judge a mutation
//	SIM_COVER    a directory for the coverage profiles of a test binary that was built with -cover, one of each child: without all
//	             first lines but one they are one profile
const (
	envLives, envSeed, envMinutes, envState, envPlan = "SIM_LIVES", "SIM_SEED", "SIM_MINUTES", "SIM_STATE", "SIM_PLAN"
	envFirst, envCover                               = "SIM_FIRST", "SIM_COVER"

	envChild = "SIM_CHILD" // set for child processes, which read plans from standard input
)

// A life hangs where its process does nothing for so long, or where it takes so much of a processor's time.
const (
	idleTime = time.Minute
	busyTime = 5 * time.Minute
)

// TestChild lives the plans that come on standard input, a line each, and prints a line of JSON for each.
func TestChild(t *testing.T) {
	if os.Getenv(envChild) == "" {
		t.Skip("this is the driver's other half: TestLives starts it")
	}
	in := json.NewDecoder(os.Stdin)
	for {
		var p Plan
		if in.Decode(&p) != nil {
			return
		}
		out, err := json.Marshal(inBubble(t, p))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\nlife %s\n", out)
	}
}

func inBubble(t *testing.T, p Plan) (r Result) {
	synctest.Test(t, func(*testing.T) { r = Live(p) })
	return r
}

// child is a process that lives plans, one after the other.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err *bytes.Buffer
}

func startChild() (*child, error) {
	c := &child{cmd: exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.timeout=0"), err: &bytes.Buffer{}}
	if dir := os.Getenv(envCover); dir != "" {
		name := filepath.Join(dir, fmt.Sprintf("%d.out", time.Now().UnixNano()))
		c.cmd.Args = append(c.cmd.Args, "-test.coverprofile="+name)
	}
	c.cmd.Env = append(os.Environ(), envChild+"=1", "GOMAXPROCS=2", "GOGC=400")
	c.cmd.Stderr = c.err
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReaderSize(out, 1<<20)
	return c, c.cmd.Start()
}

// live lives a plan in the child. After a panic or a hang the child is gone, and the result says so.
func (c *child) live(p Plan) (r Result, gone bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var hangs atomic.Bool
	go c.watch(ctx, &hangs)
	b, _ := json.Marshal(p)
	c.in.Write(append(b, '\n'))
	var said bytes.Buffer
	for {
		line, err := c.out.ReadBytes('\n')
		if rest, ok := bytes.CutPrefix(line, []byte("life ")); ok && json.Unmarshal(rest, &r) == nil {
			return r, false
		}
		said.Write(line)
		if err != nil {
			c.cmd.Wait()
			why := "the life ended by a panic"
			if hangs.Load() {
				why = "the life hangs: a lock may be held over slow I/O"
			}
			said.Write(c.err.Bytes())
			return Result{Violations: []string{why}, History: said.String()}, true
		}
	}
}

// watch has a child that hangs print its stacks and end.
func (c *child) watch(ctx context.Context, hangs *atomic.Bool) {
	begin := c.busy()
	since, last := time.Now(), begin
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		now := c.busy()
		if now-last > idleTime/100 {
			since, last = time.Now(), now
		}
		if time.Since(since) > idleTime || now-begin > busyTime {
			hangs.Store(true)
			c.cmd.Process.Signal(syscall.SIGQUIT)
			return
		}
	}
}

// busy returns the processor time that the child has taken: fields 14 and 15 of proc_pid_stat(5), in hundredths of a second.
func (c *child) busy() (taken time.Duration) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	_, rest, _ := bytes.Cut(b, []byte(") "))
	for i, f := range bytes.Fields(rest) {
		if n, err := strconv.Atoi(string(f)); err == nil && (i == 11 || i == 12) {
			taken += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return taken
}

func (c *child) close() {
	c.in.Close()
	c.cmd.Wait()
}

// alone lives a plan in a process of its own.
func alone(t *testing.T, p Plan) Result {
	c, err := startChild()
	if err != nil {
		t.Fatal(err)
	}
	r, gone := c.live(p)
	if !gone {
		c.close()
	}
	return r
}

// total sums up lives.
type total struct {
	NextSeed                               uint64
	Lives, Failed                          int
	Rounds, Samples, Events, Starts, Lines int
	Virtual                                time.Duration
}

func (s *total) add(r Result) {
	s.Lives++
	s.Rounds += r.Rounds
	s.Samples += r.Samples
	s.Events += r.Events
	s.Starts += r.Starts
	s.Lines += r.Lines
	s.Virtual += r.Virtual
	if len(r.Violations) > 0 {
		s.Failed++
	}
}

func (s *total) String() string {
	return fmt.Sprintf("%d lives, %d of them failed: %d rounds, %d samples, %d events, %d starts, %d log lines, %.2f virtual years",
		s.Lives, s.Failed, s.Rounds, s.Samples, s.Events, s.Starts, s.Lines, s.Virtual.Hours()/24/365.25)
}

// TestLives lives many lives. It fails where an invariant is broken, with the seed, and a plan with as few events as still break it.
func TestLives(t *testing.T) {
	if os.Getenv(envChild) != "" {
		t.Skip("in a child")
	}
	if file := os.Getenv(envPlan); file != "" {
		p := readPlan(t, file)
		r := alone(t, p)
		t.Logf("%s\n%q", r.History, r.Violations)
		if len(r.Violations) > 0 {
			t.Fail()
		}
		return
	}
	lives := number(t, envLives, 10)
	if os.Getenv(envSeed) == "new" {
		t.Setenv(envSeed, strconv.FormatInt(time.Now().UnixNano()>>10, 10))
	}
	state := total{NextSeed: uint64(number(t, envSeed, 1))}
	file := os.Getenv(envState)
	if b, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(b, &state); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d %s=%d", envSeed, state.NextSeed, envLives, lives)
	end := time.Now().Add(time.Duration(number(t, envMinutes, 1<<20)) * time.Minute)
	var mu sync.Mutex
	var failed []Plan
	most := 20 // failures
	if os.Getenv(envFirst) != "" {
		most = 1
	}
	take := func() (p Plan, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if lives == 0 || time.Now().After(end) || len(failed) >= most {
			return p, false
		}
		lives--
		state.NextSeed++
		return Draw(state.NextSeed - 1), true
	}
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			var c *child
			for {
				p, ok := take()
				if !ok {
					break
				}
				if c == nil {
					var err error
					if c, err = startChild(); err != nil {
						t.Error(err)
						return
					}
				}
				r, gone := c.live(p)
				if gone {
					c = nil
				}
				mu.Lock()
				if state.add(r); len(r.Violations) > 0 {
					failed = append(failed, p)
					t.Errorf("seed %d: %q", p.Seed, r.Violations[:min(3, len(r.Violations))])
				}
				mu.Unlock()
			}
			if c != nil {
				c.close()
			}
		})
	}
	workers.Wait()
	t.Log(state.String())
	if file != "" {
		b, _ := json.MarshalIndent(state, "", "\t")
		if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
			t.Error(err)
		}
	}
	for _, p := range failed[:min(2, len(failed), most-1)] {
		small, r := shrink(t, p)
		name := filepath.Join(os.TempDir(), fmt.Sprintf("life-%d.json", p.Seed))
		b, _ := json.MarshalIndent(small, "", "\t")
		os.WriteFile(name, b, 0o644)
		t.Logf("seed %d with %d events instead of %d, kept as %s (to live it again: %s; as a regression it belongs into testdata):\n%q\n%s",
			p.Seed, len(small.Events), len(p.Events), name, envPlan, r.Violations[:min(3, len(r.Violations))], r.History)
	}
}

// shrink looks for a plan with fewer events, and fewer parts, that still breaks an invariant.
func shrink(t *testing.T, p Plan) (Plan, Result) {
	const tries = 150
	end := time.Now().Add(3 * time.Minute)
	left := tries
	worst := alone(t, p)
	fails := func(p Plan) bool {
		if left--; left < 0 || time.Now().After(end) {
			return false
		}
		r := alone(t, p)
		if len(r.Violations) > 0 {
			worst = r
		}
		return len(r.Violations) > 0
	}
	for size := (len(p.Events) + 1) / 2; size > 0; size /= 2 {
		for at := 0; at < len(p.Events); {
			less := p
			less.Events = slices.Delete(slices.Clone(p.Events), at, min(at+size, len(p.Events)))
			if fails(less) {
				p = less
			} else {
				at += size
			}
		}
	}
	for i := len(p.Setup.Destinations) - 1; i >= 0 && len(p.Setup.Destinations) > 1; i-- {
		less := p
		less.Setup.Destinations = slices.Delete(slices.Clone(p.Setup.Destinations), i, i+1)
		if fails(less) {
			p = less
		}
	}
	for i := len(p.Setup.Sources) - 1; i >= 0 && len(p.Setup.Sources) > 1; i-- {
		less := p
		less.Setup.Sources = slices.Delete(slices.Clone(p.Setup.Sources), i, i+1)
		if fails(less) {
			p = less
		}
	}
	return p, worst
}

// TestRegressions lives again the lives that have found something.
func TestRegressions(t *testing.T) {
	if os.Getenv(envChild) != "" {
		t.Skip("in a child")
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if r := alone(t, readPlan(t, file)); len(r.Violations) > 0 {
				t.Errorf("%q\n%s", r.Violations, r.History)
			}
		})
	}
}

func readPlan(t *testing.T, file string) (p Plan) {
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func number(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
