package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"headend-agent/internal/config"
	"headend-agent/probe"
	"headend-agent/push"
)

// options are the flags that the commands share.
type options struct {
	configFile string
	writeURL   string
	listen     string
	webConfig  string
	lifecycle  bool
	logLevel   slog.Level
	logFormat  string
	env        probe.Env

	explicit bool // configFile was asked for
}

const defaultConfigFile = "/etc/headend-agent/agent.yml"

// parse reads flags, and those of the command's own that more adds. The error has been printed; flag.ErrHelp means that help was
// asked for.
func (o *options) parse(name string, args []string, stderr io.Writer, more ...func(*flag.FlagSet)) (rest []string, err error) {
	f := flag.NewFlagSet("headend-agent "+name, flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintf(stderr, "flags of headend-agent %s:\n", name)
		f.VisitAll(func(x *flag.Flag) { fmt.Fprintf(stderr, "  --%-26s %s\n", x.Name, x.Usage) })
	}
	f.StringVar(&o.configFile, "config.file", defaultConfigFile, "configuration; conf.d/*.yml beside it is merged in")
	f.StringVar(&o.writeURL, "remote-write.url", "", "a receiver to push to, besides those of the configuration")
	f.StringVar(&o.listen, "web.listen-address", "", "host:port of the agent's own pages (default 127.0.0.1:9105)")
	f.StringVar(&o.webConfig, "web.config.file", "", "TLS and basic authentication of the pages, in exporter-toolkit's format")
	f.BoolVar(&o.lifecycle, "web.enable-lifecycle", false, "serve POST /-/reload and /-/gpu/release")
	f.TextVar(&o.logLevel, "log.level", slog.LevelInfo, "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log.format", "text", "text or json")
	f.StringVar(&o.env.Proc, "path.procfs", "/proc", "mount point of procfs")
	f.StringVar(&o.env.Sys, "path.sysfs", "/sys", "mount point of sysfs")
	f.StringVar(&o.env.Root, "path.rootfs", "/", "mount point of the root file system")
	for _, add := range more {
		add(f)
	}
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	f.Visit(func(x *flag.Flag) { o.explicit = o.explicit || x.Name == "config.file" })
	o.env.Dev = "/dev"
	if o.env.Hostname, err = os.Hostname(); err != nil {
		o.env.Hostname = "localhost"
	}
	return f.Args(), nil
}

// exitCode is the exit status after parse has failed.
func exitCode(err error) int {
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	return 2
}

// config reads the file, or does without it where none was asked for and none is there, and lets flags have the last word.
func (o *options) config() (*config.Config, error) {
	c, err := o.load()
	if err != nil {
		return nil, err
	}
	if o.listen != "" {
		c.Web.ListenAddress = o.listen
	}
	if o.webConfig != "" {
		c.Web.ConfigFile = o.webConfig
	}
	if o.writeURL != "" {
		rw := push.DefaultConfig()
		rw.URL = o.writeURL
		if err := rw.Validate(); err != nil {
			return nil, fmt.Errorf("--remote-write.url: %w", err)
		}
		c.RemoteWrite = append(c.RemoteWrite, rw)
	}
	return c, nil
}

func (o *options) load() (*config.Config, error) {
	if _, err := os.Stat(o.configFile); errors.Is(err, fs.ErrNotExist) && !o.explicit {
		return config.Default(), nil
	}
	return config.Load(o.configFile, kindNames())
}

// logger writes to w as the flags say.
func (o *options) logger(w io.Writer) *slog.Logger {
	h := &slog.HandlerOptions{Level: o.logLevel}
	if strings.EqualFold(o.logFormat, "json") {
		return slog.New(slog.NewJSONHandler(w, h))
	}
	return slog.New(slog.NewTextHandler(w, h))
}
