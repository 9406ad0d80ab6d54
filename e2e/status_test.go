package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// browser is Debian's Chromium with one window.
type browser struct {
	t     testing.TB
	ctx   context.Context
	mu    sync.Mutex
	asked []string // URLs
}

func startBrowser(t testing.TB) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatalf("%v: `e2e/install` installs chromium", err)
	}
	requests := chromedp.Events(ctx, network.RequestWillBeSent)
	go func() {
		for e, err := range requests {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.asked = append(b.asked, e.Request.URL)
			b.mu.Unlock()
		}
	}()
	return b
}

// step bounds what the browser may take for one thing.
const step = 30 * time.Second

// page loads a page and returns what an expression says of it.
func (b *browser) page(url, expression string) (string, error) {
	ctx, cancel := context.WithTimeout(b.ctx, step)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		return "", err
	}
	return chromedp.Run(ctx, chromedp.Evaluate[string](expression))
}

// screenshot keeps a picture of the whole page, for the reader of the test.
func (b *browser) screenshot(name, url, scheme string, width, height int64) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		dir = "../build/screenshots"
	}
	ctx, cancel := context.WithTimeout(b.ctx, step)
	defer cancel()
	colours := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, colours)
	if err == nil {
		err = chromedp.Do(ctx, chromedp.EmulateViewport(width, height), chromedp.Navigate(url))
	}
	var wide int64
	if err == nil {
		wide, err = chromedp.Run(ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth"))
	}
	var png []byte
	if err == nil {
		png, err = chromedp.Run(ctx, chromedp.FullScreenshot(100))
	}
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	if wide > width {
		b.t.Errorf("%s: the page is %d wide on a screen of %d", name, wide, width)
	}
}

// shows waits until the page satisfies an expression that returns "" for that, and what is amiss otherwise.
func (b *browser) shows(address, what, expression string) {
	b.t.Helper()
	eventually(b.t, 40*time.Second, func() error {
		got, err := b.page("http://"+address+"/", "(() => {"+expression+"})()")
		if err == nil && got != "" {
			err = fmt.Errorf("%s: %s", what, got)
		}
		return err
	})
}

// Pieces of expressions.
const (
	health      = `const health = document.querySelector('#health').dataset.health, findings = (document.querySelector('#findings') || {}).innerText || '';`
	destination = `const d = document.querySelector('.destination'), state = d.dataset.state, text = d.innerText;`
)

var pageMetric = regexp.MustCompile(`(?m)^([a-z_]+(?:\{[^}]*\})?) (\S+)$`)

// uplink is the way to a receiver: it can be cut, and be slow.
type uplink struct {
	t       testing.TB
	address string
	to      *httputil.ReverseProxy
	server  *http.Server
}

func startUplink(t testing.TB, to string) *uplink {
	u := &uplink{t: t, address: free(t), to: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: to})}
	u.open(0)
	t.Cleanup(func() { u.cut() })
	return u
}

// open lets requests through, each after a delay.
func (u *uplink) open(delay time.Duration) {
	u.t.Helper()
	l, err := net.Listen("tcp", u.address)
	if err != nil {
		u.t.Fatal(err)
	}
	u.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(delay)
		u.to.ServeHTTP(w, r)
	})}
	go u.server.Serve(l)
}

func (u *uplink) cut() { u.server.Close() }

// The page of a running agent in the states that somebody would open it for.
func TestStatusPageOfAnOutage(t *testing.T) {
	prom := startPrometheus(t, "")
	flussonic := startFlussonic(t, "news", "sport", "films")
	var many strings.Builder
	for i := range 3000 { // an outage of seconds is a backlog of several requests
		fmt.Fprintf(&many, "app_total{i=\"%d\"} 0\n", i)
	}
	line := startUplink(t, prom.address)
	written := strings.NewReplacer("%DIR%/buffer", "%DIR%/buffer, commit_interval: 1s", "name: test", "name: main").Replace(config(line.address + "/api/v1/write"))
	a := startAgent(t, written+"probes:\n  flussonic: [{url: \""+flussonic.URL+"\"}]\n"+fakes(t, many.String()))
	b := startBrowser(t)

	b.shows(a.address, "healthy", health+destination+`return health == 'ok' && state == 'connected' && document.querySelectorAll('#streams tr').length == 4 &&
		document.querySelectorAll('.spark').length > 4 ? '' : health + findings + state + document.body.innerText`)
	numbersAgree(t, b, a)
	b.screenshot("healthy-light", "http://"+a.address, "light", 1200, 800)
	b.screenshot("healthy-light-phone", "http://"+a.address, "light", 390, 844)

	flussonic.stop("sport")
	line.cut()
	b.shows(a.address, "uplink down", health+destination+`return health == 'trouble' && state == 'failing' && text.includes('connection refused') && findings.includes('nothing gets through') &&
		findings.includes('1 of 3 streams is down: sport') && document.querySelector('#streams tr:nth-child(2)').innerText.includes('sport') ? '' : health + findings + text`)
	b.shows(a.address, "the ring fills", `return document.querySelectorAll('#ring .disk, #ring .memory').length > 0 &&
		Number(document.querySelector('[title$=samples_pending] data').value) > 80000 ? '' : document.querySelector('#ring').innerText + document.querySelector('[title$=samples_pending]').innerText`)
	b.screenshot("uplink-down-light", "http://"+a.address, "light", 1200, 800)
	b.screenshot("uplink-down-dark", "http://"+a.address, "dark", 1200, 800)

	line.open(4 * time.Second)
	b.shows(a.address, "draining", destination+`const p = d.querySelector('progress'); return state == 'draining' && p && p.value > 0 && text.includes('drained in about') ? '' : text`)
	b.screenshot("draining-dark-phone", "http://"+a.address, "dark", 390, 844)

	if got, err := b.page("http://"+a.address+"/", "String(document.scripts.length)"); err != nil || got != "0" {
		t.Errorf("%s scripts, %v", got, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.asked {
		if !strings.HasPrefix(url, "http://"+a.address+"/") && !strings.HasPrefix(url, "data:") && !strings.HasPrefix(url, "about:") {
			t.Errorf("the page asks for %s", url)
		}
	}
}

// pageNumbers is an expression of all numbers on the page whose name in /metrics is known, by the name with labels.
const pageNumbers = `JSON.stringify((() => {
	const all = {};
	const put = (name, labels, e) => { const d = e.querySelector('data'); if (d) all[name + (labels.length ? '{' + labels.join(',') + '}' : '')] = d.value; };
	for (const d of document.querySelectorAll('.destination')) for (const e of d.querySelectorAll('dd[title]'))
		put(e.title, ['destination="' + d.dataset.name + '"'].concat(e.dataset.reason ? ['reason="' + e.dataset.reason + '"'] : []), e);
	for (const p of document.querySelectorAll('#probes li')) for (const e of p.querySelectorAll('[title]'))
		put(e.title, ['probe="' + p.dataset.probe + '"'].concat(p.dataset.target ? ['target="' + p.dataset.target + '"'] : []), e);
	for (const e of document.querySelectorAll('#ring span[title], footer span[title]')) put(e.title, [], e);
	const heads = [...document.querySelectorAll('#streams th')];
	for (const row of document.querySelectorAll('#streams tr')) [...row.querySelectorAll('td')].forEach((e, i) => {
		const stream = 'stream="' + row.cells[0].textContent + '"', name = heads[i].title;
		if (name) put(name, name.startsWith('flussonic_') ? [stream] : ['server="flussonic"', stream], e);
	});
	return all;
})())`

// numbersAgree compares the page with /metrics, read before and after it: what has not changed in between must be equal.
func numbersAgree(t *testing.T, b *browser, a *agent) {
	t.Helper()
	values := func() map[string]string {
		text, err := get("http://" + a.address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, m := range pageMetric.FindAllStringSubmatch(text, -1) {
			all[m[1]] = m[2]
		}
		return all
	}
	const rw = "headend_agent_remote_write_"
	wanted := []string{
		rw + `samples_pending{destination="main"}`, rw + `oldest_pending_seconds{destination="main"}`, rw + `samples_delivered_total{destination="main"}`,
		rw + `samples_refused_total{destination="main"}`, rw + `samples_uncertain_total{destination="main"}`,
		rw + `samples_dropped_total{destination="main",reason="overflow"}`, rw + `clock_offset_seconds{destination="main"}`,
		"headend_agent_buffer_slots", "headend_agent_buffer_memory_bytes", "headend_agent_buffer_memory_limit_bytes",
		"headend_agent_resident_memory_bytes", "headend_agent_cpu_seconds_total", "headend_agent_series",
	}
	for _, probe := range []string{"agent", "cpu", "disk", "filesystem", "loadavg", "memory", "network", "vmstat"} {
		wanted = append(wanted, `headend_agent_probe_duration_seconds{probe="`+probe+`"}`, `headend_agent_probe_series{probe="`+probe+`"}`)
	}
	for _, stream := range []string{"news", "sport", "films"} {
		wanted = append(wanted, `headend_stream_bitrate_bits_per_second{server="flussonic",stream="`+stream+`"}`,
			`headend_stream_viewers{server="flussonic",stream="`+stream+`"}`, `flussonic_stream_dvr_info_depth{stream="`+stream+`"}`)
	}
	compared := map[string]bool{}
	eventually(t, 30*time.Second, func() error {
		before := values()
		text, err := b.page("http://"+a.address+"/", pageNumbers)
		if err != nil {
			return err
		}
		after := values()
		var shown map[string]string
		if err := json.Unmarshal([]byte(text), &shown); err != nil {
			return err
		}
		missing := ""
		for name, got := range shown {
			if before[name] == after[name] && before[name] != "" {
				want, _ := strconv.ParseFloat(before[name], 64)
				if v, err := strconv.ParseFloat(got, 64); err != nil || v != want {
					t.Errorf("%s is %s on the page and %s in /metrics", name, got, before[name])
				}
				compared[name] = true
			} else if !compared[name] {
				missing += name + "\n"
			}
		}
		for _, name := range wanted {
			if !compared[name] {
				missing += name + "\n"
			}
		}
		if missing != "" {
			return fmt.Errorf("could not be compared:\n%s", missing)
		}
		return nil
	})
}

// A receiver that refuses, a receiver and a media server with another password, and a machine without devices.
func TestStatusPageOfRefusals(t *testing.T) {
	answering := func(status int, text string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, status) }))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	b := startBrowser(t)

	refusing := startAgent(t, config(answering(400, "out of bounds: the sample is too old"), "protobuf_message: prometheus.WriteRequest", "on_refusal: drop"))
	b.shows(refusing.address, "refused", health+destination+`return health == 'trouble' && state == 'refusing' && findings.includes('the receiver refuses everything') && findings.includes('the sample is too old') &&
		Number(document.querySelector('[title$=samples_refused_total] data').value) > 0 ? '' : health + findings + text`)
	b.shows(refusing.address, "no device", `const text = document.querySelector('#devices').innerText; return text.includes('no GPU') && text.includes('no DVB') && text.includes('no media server') ? '' : text`)
	b.screenshot("refused-light", "http://"+refusing.address, "light", 1200, 800)

	flussonic := startFlussonic(t, "news")
	flussonic.password("monitor", "right")
	const secret = "hunter2"
	locked := startAgent(t, config(answering(401, "wrong user or password")+"/"+secret+"?token="+secret, "basic_auth: {username: u, password: "+secret+"}")+
		"probes:\n  flussonic: [{url: \""+flussonic.URL+"\", basic_auth: {username: monitor, password: "+secret+"}}]\n"+
		"  scrape: [{job_name: app, url: \""+flussonic.URL+"/metrics?token="+secret+"\"}]\n")
	b.shows(locked.address, "wrong password", health+destination+`return health == 'trouble' && state == 'failing' && text.includes('401') && findings.includes('flussonic') &&
		document.querySelector('#probes .failed').innerText.includes('flussonic') && findings.includes('scrape') ? '' : health + findings + text`)
	b.screenshot("wrong-password-light", "http://"+locked.address, "light", 1200, 800)
	for _, path := range []string{"/", "/api/v1/status", "/metrics"} {
		if text, err := get("http://" + locked.address + path); err != nil || strings.Contains(text, secret) {
			t.Errorf("a secret is on %s, or: %v", path, err)
		}
	}
}

// A device that is found is on the page, with what it does.
func TestStatusPageOfAGPU(t *testing.T) {
	m := newGPUMachine(t)
	a := m.start()
	b := startBrowser(t)
	b.shows(a.address, "a GPU", `const text = document.querySelector('#devices .good') ? document.querySelector('#devices').innerText : '';
		return text.includes('Tesla T4') && text.includes('encoder') && text.includes('°C') && !text.includes('no GPU') ? '' : document.querySelector('#devices').innerText`)
	a.stop() // with its child, which would write on below the test's directory
}

// Very many streams with very long names leave the page light, and within the width of a phone.
func TestStatusPageOfManyStreams(t *testing.T) {
	names := make([]string, 2000)
	for i := range names {
		names[i] = fmt.Sprintf("channel-%04d-%s", i, strings.Repeat("x", 200))
	}
	flussonic := startFlussonic(t, names...)
	a := startAgent(t, config(free(t)+"/write")+"probes:\n  flussonic: [{url: \""+flussonic.URL+"\"}]\n")
	b := startBrowser(t)
	b.shows(a.address, "many streams", `return document.querySelectorAll('#streams tr').length == 41 && document.body.innerText.includes('all 2000 streams') ? '' : document.body.innerText`)
	b.screenshot("many-streams-phone", "http://"+a.address, "light", 390, 844)
	if text, err := get("http://" + a.address + "/"); err != nil || len(text) > 64<<10 {
		t.Errorf("the page has %d bytes, %v", len(text), err)
	}
	if got, err := b.page("http://"+a.address+"/?streams=all", "String(document.querySelectorAll('#streams tr').length)"); err != nil || got != "2001" {
		t.Errorf("%s rows, %v", got, err)
	}
}
