package main

import (
	"fmt"
	"io"
	"log/slog"

	"headend-agent/internal/web"
)

func checkCommand(args []string, stdout, stderr io.Writer) int {
	o := options{}
	if _, err := o.parse("check-config", args, stderr); err != nil {
		return exitCode(err)
	}
	o.explicit = true // a file that is not there is no good configuration
	cfg, err := o.config()
	if err == nil {
		err = web.CheckConfigFile(cfg.Web.ConfigFile)
	}
	if err == nil {
		err = (&agent{opts: &o, log: slog.New(slog.DiscardHandler)}).check(cfg)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	warnOversized(stderr, cfg, o.env)
	fmt.Fprintf(stdout, "%s is valid: %d destinations\n", o.configFile, len(cfg.RemoteWrite))
	return 0
}
