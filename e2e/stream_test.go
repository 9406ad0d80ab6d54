package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mediaServer is Debian's nginx with the rtmp module, as one process, without workers that could outlive it.
type mediaServer struct {
	*process
	rtmp, stat string
}

func startNginx(t testing.TB) *mediaServer {
	t.Helper()
	dir := t.TempDir()
	m := &mediaServer{rtmp: free(t), stat: free(t)}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n"
	}
	var temp strings.Builder
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, " %s_temp_path %s;", name, filepath.Join(dir, name))
	}
	text := fmt.Sprintf(`%sload_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; master_process off; pid %s/nginx.pid; error_log stderr;
events {}
rtmp { access_log off; server { listen %s; application live { live on; } } }
http { access_log off;%s server { listen %s; location = /stat { rtmp_stat all; } } }
`, user, dir, m.rtmp, temp.String(), m.stat)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	m.process = start(t, "nginx", "-c", file, "-p", dir, "-e", "stderr")
	eventually(t, 10*time.Second, func() error { _, err := get("http://" + m.stat + "/stat"); return err })
	return m
}

// publish sends a moving picture with a name, for as long as the process lives.
func (m *mediaServer) publish(name string) *process {
	return start(m.t, "ffmpeg", "-hide_banner", "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=10",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10", "-f", "flv", "rtmp://"+m.rtmp+"/live/"+name)
}

func (m *mediaServer) play(name string) *process {
	return start(m.t, "ffmpeg", "-hide_banner", "-loglevel", "error", "-i", "rtmp://"+m.rtmp+"/live/"+name, "-f", "null", "-")
}

// Real streams are published, played and stopped; what happened is in a real Prometheus.
func TestStreamsOfNginx(t *testing.T) {
	prom := startPrometheus(t, "")
	nginx := startNginx(t)
	a := startAgent(t, config(prom.write())+"probes:\n  nginx_rtmp: [{url: \"http://"+nginx.stat+"\"}]\n"+
		"  server_process: [{pid_file: "+filepath.Join(filepath.Dir(nginx.cmd.Args[2]), "nginx.pid")+"}]\n")
	is := func(promql string, want float64) {
		t.Helper()
		eventually(t, 30*time.Second, func() error {
			got, err := one(prom.address, promql)
			if err == nil && got.Value.Value != want {
				err = fmt.Errorf("%s is %v, want %v", promql, got.Value.Value, want)
			}
			return err
		})
	}
	is("headend_stream_up", 1)
	if all, err := query(prom.address, "headend_stream_alive"); err != nil || len(all) != 0 {
		t.Errorf("before anybody publishes: %v, %v", all, err)
	}

	first := nginx.publish("one")
	nginx.publish("two")
	is(`headend_stream_alive{server="nginx_rtmp",stream="live/one"}`, 1)
	is(`count(headend_stream_alive == 1)`, 2)
	is(`headend_stream_viewers{stream="live/one"}`, 0)
	nginx.play("one")
	is(`headend_stream_viewers{stream="live/one"}`, 1)
	is(`headend_stream_viewers{stream="live/two"}`, 0)
	is(`rate(headend_stream_input_bytes_total{stream="live/one"}[10s]) > bool 0`, 1)
	is(`rate(headend_stream_output_bytes_total{stream="live/one"}[10s]) > bool 0`, 1)
	is(`abs(headend_stream_start_time_seconds{stream="live/one"} - time()) < bool 120`, 1)
	is(`changes(headend_stream_start_time_seconds{stream="live/one"}[30s])`, 0)
	is(`headend_server_processes`, 1)
	is(`headend_server_process_open_fds > bool 5`, 1)

	// A stream that stops ends at once: it does not linger for Prometheus' look-back.
	first.kill()
	eventually(t, 6*time.Second, func() error {
		all, err := query(prom.address, `headend_stream_alive == 1`)
		if err == nil && (len(all) != 1 || all[0].Metric["stream"] != "live/two") {
			err = fmt.Errorf("alive after one stopped: %v", all)
		}
		return err
	})

	// Without the server, that is what remains to be told.
	nginx.kill()
	is("headend_stream_up", 0)
	is(`count({__name__=~"headend_stream_.+"})`, 1)
	if log := a.log.String(); strings.Count(log, "connection refused") != 1 {
		t.Errorf("the failure is not logged once:\n%s", log)
	}
}
