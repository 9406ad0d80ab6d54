package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"headend-agent/probe"
)

const (
	pageSize = 1000 // the server's own default, 100, hides the rest of the streams
	maxPages = 200
)

// list reads all pages of the stream list. They are ordered by name, so that a stream that comes or goes between two pages moves no other
// across their border; one that comes twice counts once.
func (f *flussonic) list(ctx context.Context, c *client, run *run) error {
	withStats, cursor := false, ""
	for range maxPages {
		next, err := f.page(ctx, c, run, cursor, &withStats)
		if cursor == "" && isStatus(err, http.StatusBadRequest) && !f.noSelect {
			f.noSelect = true
			next, err = f.page(ctx, c, run, cursor, &withStats)
		}
		if err != nil {
			return err
		}
		if next == "" || next == cursor {
			if run.live > 0 && !withStats {
				f.noSelect = true // it may be select that hides them
			}
			return nil
		}
		cursor = next
	}
	return &probe.Partial{Err: fmt.Errorf("ask %s%s/streams: more than %d pages", c.base, f.base, maxPages)}
}

func (f *flussonic) page(ctx context.Context, c *client, run *run, cursor string, withStats *bool) (next string, err error) {
	path := fmt.Sprintf("%s/streams?limit=%d&sort=name", f.base, pageSize)
	if !f.noSelect {
		path += "&select=" + url.QueryEscape(streamFields)
	}
	if cursor != "" {
		path += "&cursor=" + url.QueryEscape(cursor)
	}
	listed := false
	err = c.json(ctx, path, func(s *scanner) {
		for k := range s.fields() {
			switch string(k) {
			case "next":
				if t, ok := s.text(); ok {
					next = string(t)
				}
			case "streams":
				if listed = s.array(); listed {
					for s.item() {
						f.stream.read(s, run.names)
						*withStats = *withStats || f.stream.hasStats
						f.add(run)
					}
				}
			default:
				s.skip()
			}
		}
	})
	if err == nil && !listed {
		err = c.wrap(path, errNoStreams)
	}
	return next, err
}

// oldList reads the list of the API before v3, which has no pages. It holds other things than streams too.
func (f *flussonic) oldList(ctx context.Context, c *client, run *run) error {
	path := f.base + "/media"
	listed := false
	err := c.json(ctx, path, func(s *scanner) {
		listed = s.array()
		for listed && s.item() {
			f.oldEntry(s, run)
		}
	})
	if err == nil && !listed {
		err = c.wrap(path, errors.New("answer is no list"))
	}
	return err
}

func (f *flussonic) oldEntry(s *scanner, run *run) {
	isStream, hasValue := false, false
	for k := range s.fields() {
		switch string(k) {
		case "entry":
			t, _ := s.text()
			isStream = string(t) == "stream"
		case "value":
			f.stream.read(s, run.names)
			hasValue = true
		default:
			s.skip()
		}
	}
	if isStream && hasValue {
		f.add(run)
	}
}

// add adds the stream that was read, unless it is switched off.
func (f *flussonic) add(run *run) {
	x := &f.stream
	if x.disabled.v == 1 {
		return
	}
	name := run.take(x.name)
	if name == nil {
		return
	}
	if f.dvrBytes {
		x.values[fDVRDiskSize] = x.values[fDVRDiskSize].or(x.values[fDVRBytes])
	}
	for i := range vendorStreamTable {
		if v := vendorStreamTable[i].of(x); v.ok {
			run.out.Add(vendorStreamTable[i].desc, v.v, name.label, run.own)
		}
	}
	x.fill(&f.record, name.label)
	run.add(&f.record)
}
