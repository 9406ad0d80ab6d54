package stream

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"headend-agent/probe"
)

// NginxRTMPConfig is the page of nginx' directive rtmp_stat; a URL without a path means /stat.
type NginxRTMPConfig struct {
	Config `yaml:",inline"`
}

func newNginxRTMP(decode func(any) error, _ probe.Env) (probe.Probe, error) {
	c := NginxRTMPConfig{defaultConfig()}
	if err := decode(&c); err != nil {
		return nil, err
	}
	return newServer("nginx_rtmp", &c.Config, &nginxRTMP{}, "http://127.0.0.1:8080/stat", "http://127.0.0.1/stat")
}

// nginxRTMPInstalled keeps the agent from asking other people's web servers for a page that they do not have.
func nginxRTMPInstalled(env probe.Env) bool {
	for _, pattern := range []string{"/etc/nginx/modules-enabled/*rtmp*", "/usr/lib/nginx/modules/*rtmp*", "/usr/lib64/nginx/modules/*rtmp*"} {
		if found, _ := filepath.Glob(env.RootFile(pattern)); len(found) > 0 {
			return true
		}
	}
	return false
}

// nginxRTMP reads the XML page of nginx' rtmp module. With several worker processes, the page is that of the one that answers.
type nginxRTMP struct {
	boot   stableTime
	record record
}

const (
	xmlLimit   = 16 << 20 // bytes of a page
	xmlDepth   = 32
	nginxStat  = "/stat"
	headOfPage = 512
)

var errNotRTMP = errors.New("answer is not the XML of rtmp_stat")

func (p *nginxRTMP) isThere(ctx context.Context, c *client) bool {
	return p.page(ctx, c, func(string, string) {}) == nil
}

func (p *nginxRTMP) read(ctx context.Context, c *client, run *run) error {
	now := time.Now()
	var version string
	var sum serverRecord
	var app string
	var x rtmpStream
	err := p.page(ctx, c, func(path, text string) {
		switch path {
		case "nginx_version":
			version = cutName(text)
		case "uptime":
			sum.started = p.boot.since(number(text), now)
		case "bw_in":
			sum.input = number(text)
		case "bw_out":
			sum.output = number(text)
		case "bytes_in":
			sum.inputBytes = number(text)
		case "bytes_out":
			sum.outputBytes = number(text)
		case "server/application/name":
			app = text
		case "server/application/live/stream":
			p.add(run, app, &x, now)
			x = rtmpStream{}
		default:
			if field, ok := strings.CutPrefix(path, "server/application/live/stream/"); ok {
				x.take(field, text)
			}
		}
	})
	if err != nil {
		return err
	}
	if version != "" {
		run.out.Add(serverInfo, 1, run.server, "nginx_rtmp", version, "")
	}
	sum.add(run)
	return nil
}

// page reads the page and hands on each element when it ends: its path below rtmp, and its text.
func (p *nginxRTMP) page(ctx context.Context, c *client, each func(path, text string)) error {
	path := ""
	if strings.Count(c.base, "/") == 2 {
		path = nginxStat
	}
	body, err := c.open(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := elements(body, each); err != nil {
		return c.wrap(path, probe.AskError(err))
	}
	return nil
}

func elements(body io.Reader, each func(path, text string)) error {
	limited := &io.LimitedReader{R: body, N: xmlLimit}
	r := bufio.NewReaderSize(limited, headOfPage)
	if head, _ := r.Peek(headOfPage); looksHTML(head) {
		return errors.New("answers HTML, not the XML of rtmp_stat")
	}
	d := xml.NewDecoder(r)
	var path []string
	var text []byte
	seen := false
	for {
		token, err := d.Token()
		if err != nil && limited.N <= 0 {
			return fmt.Errorf("answer exceeds %d bytes", xmlLimit)
		}
		if err == io.EOF && seen {
			return nil
		}
		if err == io.EOF {
			return errNotRTMP
		}
		if err != nil {
			return fmt.Errorf("read XML: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(path) == 0 && (seen || t.Name.Local != "rtmp") || len(path) >= xmlDepth {
				return errNotRTMP
			}
			seen = true
			path = append(path, t.Name.Local)
			text = text[:0]
		case xml.CharData:
			text = append(text, t...)
		case xml.EndElement:
			each(strings.Join(path[1:], "/"), string(bytes.TrimSpace(text)))
			path = path[:len(path)-1]
			text = text[:0]
		}
	}
}

// looksHTML tells HTML from other text with tags.
func looksHTML(head []byte) bool {
	head = bytes.ToLower(bytes.TrimSpace(head))
	return bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.HasPrefix(head, []byte("<html"))
}

func number(text string) value {
	v, err := strconv.ParseFloat(text, 64)
	return value{v, err == nil && !math.IsInf(v, 0) && !math.IsNaN(v)}
}

// rtmpStream is a stream of the page.
type rtmpStream struct {
	name                        string
	age, in, out, rate, clients value
	publishing                  bool
}

func (x *rtmpStream) take(field, text string) {
	switch field {
	case "name":
		x.name = text
	case "time":
		x.age = number(text).over(1000)
	case "bytes_in":
		x.in = number(text)
	case "bytes_out":
		x.out = number(text)
	case "bw_in":
		x.rate = number(text)
	case "nclients":
		x.clients = number(text)
	case "publishing":
		x.publishing = true
	}
}

// add adds a stream. A stream that has stopped is no longer on the page; one that only has waiting players is not alive. The publisher
// is one of the clients.
func (p *nginxRTMP) add(run *run, app string, x *rtmpStream, now time.Time) {
	name := run.take([]byte(app + "/" + x.name))
	if name == nil || x.name == "" {
		return
	}
	alive := 0.0
	if x.publishing {
		alive = 1
		x.clients.v = max(0, x.clients.v-1)
	}
	p.record = record{
		name: name.label, alive: some(alive), bitrate: x.rate, viewers: x.clients, inputBytes: x.in, outputBytes: x.out,
		started: name.started.since(x.age, now),
	}
	run.add(&p.record)
}
