package stream

import (
	"context"
	"net/http"
	"time"

	"headend-agent/internal/metric"
)

// Readings of the server itself.
const (
	sStartedAt = iota // Unix s
	sUptime           // s
	sClients
	sStreams
	sOnlineStreams
	sOpenedFiles
	sInputKbit
	sOutputKbit
	sCPU // this and the next ones: %
	sMemory
	sScheduler
	serverValues
)

var serverTree = tree{
	"started_at": leaf(sStartedAt), "uptime": leaf(sUptime), "total_clients": leaf(sClients), "total_streams": leaf(sStreams),
	"online_streams": leaf(sOnlineStreams), "opened_files": leaf(sOpenedFiles), "input_kbit": leaf(sInputKbit),
	"output_kbit": leaf(sOutputKbit), "cpu_usage": leaf(sCPU), "memory_usage": leaf(sMemory), "scheduler_load": leaf(sScheduler),
}

var (
	vendorVersion = &metric.Desc{Name: "flussonic_version_info", Help: "1, labelled with the server's version.", Type: metric.Gauge, Labels: []string{"version", "server"}}
	vendorBoot    = &metric.Desc{Name: "flussonic_boot_time_seconds", Help: "Unix time at which the server started.", Type: metric.Gauge, Unit: metric.Seconds, Labels: []string{"server"}}
)

// vendorServerTable pairs the vendor's names of what only the server knows. What the host knows better is the host's probes'.
var vendorServerTable = []struct {
	desc *metric.Desc
	at   int
}{
	{vendorServer("clients", metric.None, "Clients of all streams."), sClients},
	{vendorServer("streams", metric.None, "Streams, online or not: total_streams. Those online are headend_server_online_streams."), sStreams},
	{vendorServer("opened_files", metric.None, "Files opened to be played."), sOpenedFiles},
	{vendorServer("scheduler_load", metric.Percent, "Load of the server's scheduler."), sScheduler},
}

func vendorServer(name string, unit metric.Unit, help string) *metric.Desc {
	return &metric.Desc{Name: "flussonic_" + name, Help: help, Type: metric.Gauge, Unit: unit, Labels: []string{"server"}}
}

// readServer reads the server's view of itself: config/stats and dvb_cards, or the old API's server.
func (f *flussonic) readServer(ctx context.Context, c *client, run *run) error {
	path := f.base + "/config/stats"
	if f.old {
		path = f.base + "/server"
	}
	if !f.noStats {
		err := f.readStats(ctx, c, run, path)
		if isStatus(err, http.StatusNotFound) {
			f.noStats = true
		} else if err != nil {
			return err
		}
	}
	if f.old || f.noCards {
		return nil
	}
	err := f.readCards(ctx, c, run)
	if isStatus(err, http.StatusNotFound, http.StatusForbidden) {
		f.noCards = true
		f.tuners.Replace(run.server, nil)
		return nil
	}
	return err
}

func (f *flussonic) readStats(ctx context.Context, c *client, run *run, path string) error {
	clear(f.stats[:])
	mark := run.out.Mark()
	var version, build, status string
	err := c.json(ctx, path, func(s *scanner) {
		for k := range s.fields() {
			switch string(k) {
			case "server_version", "version":
				s.string(&version)
			case "build":
				s.string(&build)
			case "streamer_status":
				if t, ok := s.text(); ok {
					status = run.status(t)
				}
			case "partitions":
				readPartitions(s, run)
			case "transcoder_devices":
				readDevices(s, run)
			default:
				serverTree.one(s, k, f.stats[:])
			}
		}
	})
	if err != nil {
		run.out.Rewind(mark)
		return err
	}
	f.version = version + " " + build
	f.addServer(run, version, build, status)
	return nil
}

func (f *flussonic) addServer(run *run, version, build, status string) {
	if version != "" {
		run.out.Add(vendorVersion, 1, version, run.own)
		run.out.Add(serverInfo, 1, run.server, "flussonic", version, build)
	}
	if status != "" {
		run.out.Add(serverStatus, 1, run.server, status)
	}
	v := &f.stats
	started := v[sStartedAt].seconds().or(f.boot.since(v[sUptime], time.Now()))
	if started.ok {
		run.out.Add(vendorBoot, started.v, run.own)
	}
	for _, row := range vendorServerTable {
		if x := v[row.at]; x.ok {
			run.out.Add(row.desc, x.v, run.own)
		}
	}
	own := serverRecord{
		started: started, cpu: v[sCPU].over(100), memory: v[sMemory].over(100), scheduler: v[sScheduler].over(100), viewers: v[sClients],
		streams: v[sStreams], online: v[sOnlineStreams], input: v[sInputKbit].times(1000), output: v[sOutputKbit].times(1000),
	}
	own.add(run)
}
