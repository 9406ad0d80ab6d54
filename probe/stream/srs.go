package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"headend-agent/probe"
)

// SRSConfig is an SRS server. Its HTTP API must be switched on.
type SRSConfig struct {
	Config `yaml:",inline"`
}

func newSRS(decode func(any) error, _ probe.Env) (probe.Probe, error) {
	c := SRSConfig{defaultConfig()}
	if err := decode(&c); err != nil {
		return nil, err
	}
	return newServer("srs", &c.Config, &srs{}, "http://127.0.0.1:1985")
}

// srs asks the HTTP API of SRS.
type srs struct {
	url, app, name []byte
	boot           stableTime
	record         record
}

const (
	rClients = iota
	rActive
	rReceived
	rSent
	rKbps // received, over 30 s
	srsValues
)

var srsTree = tree{
	"clients": leaf(rClients), "recv_bytes": leaf(rReceived), "send_bytes": leaf(rSent),
	"kbps": branch(tree{"recv_30s": leaf(rKbps)}), "publish": branch(tree{"active": leaf(rActive)}),
}

func (p *srs) isThere(ctx context.Context, c *client) bool {
	var code [1]value
	err := c.json(ctx, "/api/v1/summaries", func(s *scanner) { tree{"code": leaf(0)}.take(s, code[:]) })
	return err == nil && code[0].ok || isStatus(err, http.StatusUnauthorized)
}

func (p *srs) read(ctx context.Context, c *client, run *run) error {
	summaryErr := p.summary(ctx, c, run)
	for start := 0; start < maxPages*pageSize; start += pageSize {
		n, err := p.page(ctx, c, run, start)
		if err != nil {
			return err
		}
		if n < pageSize {
			break
		}
	}
	if summaryErr != nil {
		return &probe.Partial{Err: summaryErr}
	}
	return nil
}

func (p *srs) page(ctx context.Context, c *client, run *run, start int) (n int, err error) {
	path := fmt.Sprintf("/api/v1/streams/?start=%d&count=%d", start, pageSize)
	var code value
	listed := false
	err = c.json(ctx, path, func(s *scanner) {
		for k := range s.fields() {
			switch string(k) {
			case "code":
				code.v, code.ok = s.number()
			case "streams":
				if listed = s.array(); listed {
					for ; s.item(); n++ {
						p.stream(s, run)
					}
				}
			default:
				s.skip()
			}
		}
	})
	switch {
	case err != nil:
	case code.v != 0:
		err = c.wrap(path, fmt.Errorf("answer has code %v", code.v))
	case !listed:
		err = c.wrap(path, errors.New("answer has no list of streams"))
	}
	return n, err
}

// stream takes one stream. The publisher is one of the clients.
func (p *srs) stream(s *scanner, run *run) {
	var v [srsValues]value
	p.url, p.app, p.name = p.url[:0], p.app[:0], p.name[:0]
	for k := range s.fields() {
		var into *[]byte
		switch string(k) {
		case "url":
			into = &p.url
		case "app":
			into = &p.app
		case "name":
			into = &p.name
		default:
			srsTree.one(s, k, v[:])
			continue
		}
		if t, ok := s.text(); ok {
			*into = append((*into)[:0], t...)
		}
	}
	label := bytes.TrimPrefix(p.url, []byte("/"))
	if len(label) == 0 && len(p.name) > 0 {
		p.app = append(append(p.app, '/'), p.name...)
		label = p.app
	}
	name := run.take(label)
	if name == nil {
		return
	}
	viewers := v[rClients]
	if v[rActive].v == 1 && viewers.v > 0 {
		viewers.v--
	}
	p.record = record{
		name: name.label, alive: v[rActive], bitrate: v[rKbps].times(1000), viewers: viewers, inputBytes: v[rReceived], outputBytes: v[rSent],
	}
	run.add(&p.record)
}

var srsSelfTree = tree{"srs_uptime": leaf(0), "cpu_percent": leaf(1)}

// summary reads what the server knows of itself. Its percents are fractions.
func (p *srs) summary(ctx context.Context, c *client, run *run) error {
	var v [2]value
	var version string
	err := c.json(ctx, "/api/v1/summaries", func(s *scanner) {
		for k := range s.fields() {
			if string(k) != "data" {
				s.skip()
				continue
			}
			for k := range s.fields() {
				if string(k) != "self" {
					s.skip()
					continue
				}
				for k := range s.fields() {
					if string(k) == "version" {
						s.string(&version)
					} else {
						srsSelfTree.one(s, k, v[:])
					}
				}
			}
		}
	})
	if err != nil {
		return err
	}
	if version != "" {
		run.out.Add(serverInfo, 1, run.server, "srs", version, "")
	}
	r := serverRecord{started: p.boot.since(v[0], time.Now()), cpu: v[1]}
	r.add(run)
	return nil
}
