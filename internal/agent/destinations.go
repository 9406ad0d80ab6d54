// Package agent runs the daemon's parts: it builds them, starts and stops them in order, and applies a changed configuration.
package agent

import (
	"context"
	"sync"
	"time"

	"headend-agent/buffer"
	"headend-agent/internal/metric"
	"headend-agent/push"
)

// Destinations runs one sender for each configured destination. Its methods may be called from any goroutine; Apply and Stop
// exclude each other.
type Destinations struct {
	buffer *buffer.Buffer
	parts  push.Parts
	// observe, unless nil, wraps what a sender reads from: a simulation watches there what is handed out and acknowledged.
	observe func(destination string, s push.Source) push.Source

	applying sync.Mutex // held by Apply and Stop, which wait for senders

	mu         sync.Mutex
	configured []push.Config
	senders    []*Sender
}

// Sender is a push.Sender at work.
type Sender struct {
	*push.Sender
	Destination string
	Flush       time.Duration // the destination's flush interval
	heartbeat   *heartbeat
	stop        context.CancelFunc
	done        chan struct{}
}

// Idle returns for how long the sender has left alone samples that wait for it.
func (s *Sender) Idle() time.Duration { return s.heartbeat.idle() }

// patience is how long, beyond the flush interval, a destination may keep samples waiting before they are written to disk.
const patience = 15 * time.Second

// NewDestinations makes a set without destinations. The external labels in parts are replaced by those given to Apply.
func NewDestinations(b *buffer.Buffer, parts push.Parts, observe func(string, push.Source) push.Source) *Destinations {
	return &Destinations{buffer: b, parts: parts, observe: observe}
}

// Apply stops all senders, starts one for each of the given destinations, and retires the cursors of those that are no longer
// among them. The configurations have been checked; a destination that still cannot be started stays off, and is logged.
func (d *Destinations) Apply(configs []push.Config, external []metric.Label) {
	d.applying.Lock()
	defer d.applying.Unlock()
	d.stopAll()
	var senders []*Sender
	for _, cfg := range configs {
		if s := d.start(cfg, external); s != nil {
			senders = append(senders, s)
		}
	}
	d.retire(configs)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.configured, d.senders = configs, senders
}

func (d *Destinations) start(cfg push.Config, external []metric.Label) *Sender {
	name, flush := cfg.Destination(), time.Duration(cfg.FlushInterval)
	var source push.Source = d.buffer.Reader(name, buffer.Options{
		MaxAge: time.Duration(cfg.MaxAge), LateAfter: flush + patience, LiveFirst: cfg.Order == push.OrderLiveFirst,
	})
	if d.observe != nil {
		source = d.observe(name, source)
	}
	beat := newHeartbeat(source)
	parts := d.parts
	parts.External = external
	p, err := push.New(cfg, beat, parts)
	if err != nil { // a file that was there when the configuration was checked is gone
		d.parts.Log.Error("destination is off until a reload; its samples are kept", "destination", name, "error", err)
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Sender{Sender: p, Destination: name, Flush: flush, heartbeat: beat, stop: stop, done: make(chan struct{})}
	go func() { defer close(s.done); s.Run(ctx) }()
	return s
}

// retire lays down the cursors of destinations that the new configuration no longer has.
func (d *Destinations) retire(configs []push.Config) {
	kept := map[string]bool{}
	for _, cfg := range configs {
		kept[cfg.Destination()] = true
	}
	for _, cfg := range d.configured {
		if name := cfg.Destination(); !kept[name] {
			d.parts.Log.Info("destination is no longer configured; its place is kept for a week", "destination", name)
			d.buffer.Retire(name)
		}
	}
}

// Stop ends all senders at once and waits for them. What they have not delivered stays in the buffer.
func (d *Destinations) Stop() {
	d.applying.Lock()
	defer d.applying.Unlock()
	d.stopAll()
}

func (d *Destinations) stopAll() {
	d.mu.Lock()
	senders := d.senders
	d.senders = nil
	d.mu.Unlock()
	for _, s := range senders {
		s.stop()
	}
	for _, s := range senders {
		<-s.done
	}
}

// Senders returns those that run.
func (d *Destinations) Senders() []*Sender {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.senders
}
