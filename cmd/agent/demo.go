package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/common/model"

	"headend-agent/internal/receiver"
	"headend-agent/push"
)

// demoInterval lets something be seen within seconds.
const demoInterval = time.Second

func demoCommand(args []string, stdout, stderr io.Writer) int {
	o := options{}
	if _, err := o.parse("demo", args, stderr); err != nil {
		return exitCode(err)
	}
	if !o.explicit {
		o.configFile = os.DevNull
	}
	cfg, err := o.config()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	sink := &receiver.Receiver{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	mux := http.NewServeMux()
	mux.Handle("POST /api/v1/write", sink)
	go http.Serve(l, mux)

	scratch, err := os.MkdirTemp("", "headend-agent-demo-")
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	cfg.Buffer.Path = scratch
	cfg.Global.Interval = model.Duration(demoInterval)
	rw := push.DefaultConfig()
	rw.URL, rw.Name, rw.FlushInterval = "http://"+l.Addr().String()+"/api/v1/write", "demo", model.Duration(demoInterval)
	cfg.RemoteWrite = []push.Config{rw}
	if o.listen == "" && taken(cfg.Web.ListenAddress) {
		cfg.Web.ListenAddress = "127.0.0.1:0"
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	o.logLevel = max(o.logLevel, slog.LevelError) // a demo may be killed at no cost, and has no other destination
	a, err := newAgent(&o, cfg, o.logger(stderr))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	fmt.Fprintf(stdout, "headend-agent %s, demo: this machine is probed every second and pushed to a receiver of our own on loopback.\n", version)
	fmt.Fprintf(stdout, "  pages     http://%s/   http://%s/metrics\n", a.web.Address(), a.web.Address())
	fmt.Fprintf(stdout, "  receiver  %s\n", rw.URL)
	fmt.Fprintf(stdout, "  for real  headend-agent run --remote-write.url=https://prometheus.example/api/v1/write\n\n")
	go report(ctx, stdout, sink)
	a.run(ctx, hangups())
	return 0
}

func taken(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return true
	}
	l.Close()
	return false
}

// report prints what arrives, every few seconds.
func report(ctx context.Context, w io.Writer, sink *receiver.Receiver) {
	fmt.Fprintf(w, "%8s %8s %12s %14s %10s  %s\n", "time", "series", "samples/s", "bytes/sample", "requests", "protocol")
	last, start := receiver.Totals{}, time.Now()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for at := start; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			t := sink.Totals()
			samples := t.Samples - last.Samples
			perSample := "-"
			if samples > 0 {
				perSample = fmt.Sprintf("%.1f", float64(t.Bytes-last.Bytes)/float64(samples))
			}
			fmt.Fprintf(w, "%8s %8d %12.0f %14s %10d  remote write %s\n", now.Sub(start).Round(time.Second), t.Series,
				float64(samples)/now.Sub(at).Seconds(), perSample, t.Requests, t.Protocol)
			last, at = t, now
		}
	}
}
