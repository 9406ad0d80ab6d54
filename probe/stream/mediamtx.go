package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"headend-agent/probe"
)

// MediaMTXConfig is a MediaMTX server. Its API must be switched on; the default lets loopback in without a password.
type MediaMTXConfig struct {
	Config `yaml:",inline"`
}

func newMediaMTX(decode func(any) error, _ probe.Env) (probe.Probe, error) {
	c := MediaMTXConfig{defaultConfig()}
	if err := decode(&c); err != nil {
		return nil, err
	}
	return newServer("mediamtx", &c.Config, &mediaMTX{}, "http://127.0.0.1:9997")
}

// mediaMTX asks the control API of MediaMTX.
type mediaMTX struct {
	name   []byte
	start  []byte
	record record
}

// Readings of a path. The second name of each pair is the one of older releases.
const (
	mOnline = iota
	mAvailable
	mReady
	mInbound
	mReceived
	mOutbound
	mSent
	mFrameErrors
	pathValues
)

var pathTree = tree{
	"online": leaf(mOnline), "available": leaf(mAvailable), "ready": leaf(mReady), "inboundBytes": leaf(mInbound), "bytesReceived": leaf(mReceived),
	"outboundBytes": leaf(mOutbound), "bytesSent": leaf(mSent), "inboundFramesInError": leaf(mFrameErrors),
}

func (m *mediaMTX) isThere(ctx context.Context, c *client) bool {
	err := c.json(ctx, "/v3/paths/list?itemsPerPage=1", (*scanner).skip)
	return err == nil || isStatus(err, http.StatusUnauthorized)
}

func (m *mediaMTX) read(ctx context.Context, c *client, run *run) error {
	info := m.info(ctx, c, run)
	pages := 1
	for page := 0; page < pages && page < maxPages; page++ {
		more, err := m.page(ctx, c, run, page)
		if err != nil {
			return err
		}
		pages = more
	}
	if info != nil {
		return &probe.Partial{Err: info}
	}
	return nil
}

// info reads the version, which older releases do not tell.
func (m *mediaMTX) info(ctx context.Context, c *client, run *run) error {
	var version string
	err := c.json(ctx, "/v3/info", func(s *scanner) {
		for k := range s.fields() {
			if string(k) == "version" {
				s.string(&version)
			} else {
				s.skip()
			}
		}
	})
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	if version != "" {
		run.out.Add(serverInfo, 1, run.server, "mediamtx", version, "")
	}
	return err
}

func (m *mediaMTX) page(ctx context.Context, c *client, run *run, page int) (pages int, err error) {
	path := fmt.Sprintf("/v3/paths/list?page=%d&itemsPerPage=%d", page, pageSize)
	listed := false
	err = c.json(ctx, path, func(s *scanner) {
		for k := range s.fields() {
			switch string(k) {
			case "pageCount":
				n, _ := s.number()
				pages = int(min(n, maxPages))
			case "items":
				if listed = s.array(); listed {
					for s.item() {
						m.path(s, run)
					}
				}
			default:
				s.skip()
			}
		}
	})
	if err == nil && !listed {
		err = c.wrap(path, errors.New("answer has no list of paths"))
	}
	return pages, err
}

func (m *mediaMTX) path(s *scanner, run *run) {
	var v [pathValues]value
	m.name, m.start = m.name[:0], m.start[:0]
	readers := value{}
	for k := range s.fields() {
		switch string(k) {
		case "name":
			if t, ok := s.text(); ok {
				m.name = append(m.name[:0], t...)
			}
		case "onlineTime", "readyTime":
			if t, ok := s.text(); ok {
				m.start = append(m.start[:0], t...)
			}
		case "readers":
			if s.array() {
				for readers = some(0); s.item(); readers.v++ {
					s.skip()
				}
			}
		default:
			pathTree.one(s, k, v[:])
		}
	}
	name := run.take(m.name)
	if name == nil {
		return
	}
	in := v[mInbound].or(v[mReceived])
	m.record = record{
		name: name.label, alive: v[mOnline].or(v[mAvailable]).or(v[mReady]), bitrate: name.rate(in, time.Now()), viewers: readers,
		inputErrors: v[mFrameErrors], inputBytes: in, outputBytes: v[mOutbound].or(v[mSent]),
	}
	if t, err := time.Parse(time.RFC3339, string(m.start)); err == nil {
		m.record.started = some(float64(t.UnixMilli()) / 1000)
	}
	run.add(&m.record)
}
