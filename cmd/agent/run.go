package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"headend-agent/buffer"
	daemon "headend-agent/internal/agent"
	"headend-agent/internal/config"
	"headend-agent/internal/lean"
	"headend-agent/internal/metric"
	"headend-agent/internal/web"
	"headend-agent/probe"
	"headend-agent/push"
)

func runCommand(args []string, _, stderr io.Writer) int {
	var o options
	if _, err := o.parse("run", args, stderr); err != nil {
		return exitCode(err)
	}
	frugal()
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may go; that is no reason to stop
	hup := hangups()
	cfg, err := o.config()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	a, err := newAgent(&o, cfg, o.logger(stderr))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	a.run(ctx, hup)
	return 0
}

// hangups yields the SIGHUPs that come from now on. By default one ends a process.
func hangups() <-chan os.Signal {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	return hup
}

// frugal makes the garbage collector keep less spare memory than it does by default: rounds make little garbage, so a quarter of the
// spare costs no measurable CPU time. GOGC in the environment has the last word. Huge pages, which some systems hand out unasked,
// would make a third more of a heap of this size.
func frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(25)
	}
	_ = unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)
}

// agent is the daemon: the parts, and what flows between them.
type agent struct {
	opts *options
	log  *slog.Logger

	table  *metric.Table
	buffer *buffer.Buffer
	runner *probe.Runner
	web    *web.Server

	destinations *daemon.Destinations

	started  time.Time
	reloadOK atomic.Bool
	reloads  chan chan error
	reading  sync.Mutex    // held while the configuration is read again
	over     chan struct{} // closed when no reload is begun any more
	systemd  *notifier

	mu        sync.Mutex
	cfg       *config.Config
	instances []probe.Instance
}

// settled is when all has been used that the agent uses again and again.
const settled = 30 * time.Second

// driverGrace is how long the stop waits for drivers to close what probes hold open. systemd gives it 20 s.
const driverGrace = 12 * time.Second

// newAgent builds the parts. Its errors are about the configuration.
func newAgent(o *options, cfg *config.Config, log *slog.Logger) (*agent, error) {
	a := &agent{
		opts: o, log: log, cfg: cfg, table: metric.NewTable(), reloads: make(chan chan error),
		over: make(chan struct{}), started: time.Now(), systemd: newNotifier(log),
	}
	if err := a.check(cfg); err != nil {
		return nil, err
	}
	var err error
	parts := buffer.Parts{Table: a.table, Log: log, Runtime: os.Getenv("RUNTIME_DIRECTORY")}
	if a.buffer, err = buffer.Open(cfg.Buffer, parts); err != nil {
		return nil, fmt.Errorf("buffer: %w", err)
	}
	a.destinations = daemon.NewDestinations(a.buffer, push.Parts{Version: version, Log: log}, nil)
	clock := probe.NewClock(probe.ClockParts{Built: buildDate(), Proc: o.env.Proc, Epochs: a.buffer})
	a.runner = probe.NewRunner(a.table, clock, a.buffer.Append, o.env.Hostname, log)
	a.web, err = web.Listen(cfg.Web.ListenAddress, cfg.Web.ConfigFile, web.Parts{
		Version: version, Latest: a.runner.Latest, Facts: a.facts, Reload: a.reload, ReleaseGPUs: a.releaseGPUs, Lifecycle: o.lifecycle,
	}, log)
	if err != nil {
		return nil, err
	}
	a.reloadOK.Store(true)
	return a, nil
}

// check makes every probe and sender of a configuration and throws them away.
func (a *agent) check(cfg *config.Config) error {
	if _, err := instances(cfg, a.opts.env, a.log); err != nil {
		return err
	}
	for _, rw := range cfg.RemoteWrite {
		if _, err := push.New(rw, nil, push.Parts{Version: version, Log: a.log}); err != nil {
			return err
		}
	}
	return nil
}

// run starts the parts, from the end of the data's way to its beginning, and stops them the other way round.
// hup has an element where the configuration is to be read again.
func (a *agent) run(ctx context.Context, hup <-chan os.Signal) {
	pages, closePages := context.WithCancel(context.Background())
	var web sync.WaitGroup
	web.Go(func() { a.web.Run(pages) })
	a.log.Info("headend-agent is running", "version", version, "pages", "http://"+a.web.Address())

	probes, stopProbes := context.WithCancel(context.Background())
	a.apply(probes, a.cfg)
	defer time.AfterFunc(settled, lean.Out).Stop()
	a.systemd.ready(a.status())
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-hup:
			a.reloadNow(ctx, probes)
		case answer := <-a.reloads:
			answer <- a.reloadNow(ctx, probes)
		case <-a.systemd.due():
			a.systemd.feed(a.stuck())
		}
	}

	start := time.Now()
	close(a.over)
	a.systemd.stopping()
	stopProbes()
	a.runner.Stop()
	closed := make(chan struct{})
	go func() { defer close(closed); a.runner.Close() }()
	a.destinations.Stop()
	if err := a.buffer.Close(); err != nil {
		a.log.Warn("not everything is safe", "error", err)
	}
	closePages()
	web.Wait()
	select {
	case <-closed:
	case <-time.After(driverGrace - time.Since(start)):
	}
	a.log.Info("headend-agent has stopped", "took", time.Since(start).Round(time.Millisecond))
}

// apply brings the configuration into force. check has passed.
func (a *agent) apply(ctx context.Context, cfg *config.Config) {
	a.destinations.Apply(cfg.RemoteWrite, externalLabels(cfg, a.opts.env.Hostname))
	if len(a.destinations.Senders()) == 0 {
		a.log.Warn("nowhere to send: there is no remote_write in the configuration; samples can be pulled from /metrics", "file", a.opts.configFile)
	}
	a.mu.Lock()
	a.cfg = cfg
	a.mu.Unlock()

	list, err := instances(cfg, a.opts.env, a.log)
	if err != nil {
		a.log.Error("probes are off until a reload", "error", err)
	}
	if own, err := newSelf(a); err != nil {
		a.log.Error("the agent's own numbers are missing", "error", err)
	} else if on, interval := selfSection(cfg); on {
		list = append(list, probe.Instance{Kind: selfKind, Probe: own, Interval: interval})
	}
	a.runner.Apply(ctx, list)
	a.mu.Lock()
	a.instances = list
	a.mu.Unlock()
}

// selfSection tells whether the agent's own numbers are wanted, and how often.
func selfSection(cfg *config.Config) (on bool, interval time.Duration) {
	on, interval = true, time.Duration(cfg.Global.Interval)
	for _, s := range cfg.Probes {
		if s.Kind == selfKind {
			on = s.Enabled
			if s.Interval > 0 {
				interval = s.Interval
			}
		}
	}
	return on, interval
}

// parts are those that count.
func (a *agent) parts() []probe.Probe {
	parts := []probe.Probe{a.runner, a.buffer}
	for _, s := range a.destinations.Senders() {
		parts = append(parts, s)
	}
	return parts
}

var errStopping = errors.New("the agent is stopping; the configuration is read when it starts again")

// reload asks the main loop to read the configuration again, and waits for that until ctx ends.
func (a *agent) reload(ctx context.Context) error {
	answer := make(chan error, 1) // the loop does not wait for somebody who has gone
	select {
	case a.reloads <- answer:
	case <-a.over:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readTime is how long the configuration may take to be read: one of its files may lie on a server that is dead, or be
// a pipe.
const readTime = 10 * time.Second

// read reads the configuration, unless ctx ends before. The reading before this one may still hang.
func (a *agent) read(ctx context.Context) (*config.Config, error) {
	if !a.reading.TryLock() {
		return nil, errors.New("the configuration was to be read before, and a file of it still cannot be")
	}
	var cfg *config.Config
	read := make(chan error, 1)
	go func() {
		defer a.reading.Unlock()
		var err error
		if cfg, err = a.opts.config(); err == nil {
			err = a.check(cfg)
		}
		read <- err
	}()
	select {
	case err := <-read:
		return cfg, err
	case <-time.After(readTime):
		return nil, fmt.Errorf("a file of the configuration cannot be read within %s", readTime)
	case <-ctx.Done():
		return nil, errStopping
	}
}

// reloadNow reads the configuration again, until ctx ends; where it is wrong, the old one stays in force.
func (a *agent) reloadNow(ctx, probes context.Context) error {
	a.systemd.reloading()
	defer func() { a.systemd.ready(a.status()) }()
	cfg, err := a.read(ctx)
	a.reloadOK.Store(err == nil)
	if err != nil {
		a.log.Error("the configuration is wrong; the one before stays in force", "error", err)
		return err
	}
	if cfg.Buffer != a.cfg.Buffer || cfg.Web != a.cfg.Web {
		a.log.Warn("changes of buffer: and web: take effect after a restart")
		cfg.Buffer, cfg.Web = a.cfg.Buffer, a.cfg.Web
	}
	a.apply(probes, cfg)
	a.log.Info("configuration is reloaded")
	return nil
}

// externalLabels are those of the configuration, and the two that every series has.
func externalLabels(cfg *config.Config, hostname string) []metric.Label {
	all := map[string]string{"job": "headend", "instance": hostname}
	for name, value := range cfg.Global.ExternalLabels {
		all[name] = os.Expand(value, os.Getenv)
	}
	var ls []metric.Label
	for name, value := range all {
		ls = append(ls, metric.Label{Name: name, Value: value})
	}
	return ls
}
