package main

// anyServer selects what servers with an agent have, and those that are scraped directly.
const anyServer = `__name__=~"headend_agent_build_info|flussonic_boot_time_seconds|headend_stream_up"`

const instances = `label_values({` + anyServer + `}, instance)`

var manyInstances = variable{"instance", "Server", instances, true}

// down selects streams that should run and do not. Of servers that are scraped directly it is those without input. A lone server's
// vendor names have no label "server".
const down = `((headend_stream_alive{instance=~"$instance"} == 0 unless on (job, instance, server, stream) headend_stream_on_demand{instance=~"$instance"} == 1)` +
	` or (rate(flussonic_stream_bytes_in{instance=~"$instance"}[$__rate_interval]) == 0 unless on (job, instance, stream) headend_stream_alive{instance=~"$instance"}))`

func fleet() dashboard {
	worst := panel{
		kind: "table", title: "Servers, worst first", width: 24,
		help: "Sorted by streams that are down; click on another column to sort by it, on a server to see it.",
		columns: columns{"instance", []column{
			{"Streams down", "short", 1, 5}, {"Streams", "short", 0, 0}, {"Clients", "short", 0, 0}, {"Not yet delivered", "s", 60, 600},
			{"Silent for", "s", 60, 300}, {"Scheduler", "percent", 70, 85}, {"CPU", "percent", 70, 85}, {"Memory", "percent", 85, 95},
			{"Busiest disk", "percent", 70, 85}, {"Fullest disk", "percent", 98.5, 99}, {"GPU encoder", "percent", 75, 90}, {"Probes failing", "short", 1, 3},
		}},
		queries: []query{
			{`count by (instance) (` + down + `) or 0 * count by (instance) ({__name__=~"headend_stream_up|flussonic_streams",instance=~"$instance"})`, ""},
			{`sum by (instance) (flussonic_streams{instance=~"$instance"})`, ""},
			{`sum by (instance) (flussonic_clients{instance=~"$instance"})`, ""},
			{`max by (instance) (headend_agent_remote_write_oldest_pending_seconds{instance=~"$instance"})`, ""},
			{`time() - max by (instance) (timestamp(headend_agent_build_info{instance=~"$instance"}) or max_over_time(timestamp(headend_agent_build_info{instance=~"$instance"})[1d:5m]))`, ""},
			{`max by (instance) (flussonic_scheduler_load{instance=~"$instance"})`, ""},
			{`max by (instance) (flussonic_cpu_usage{instance=~"$instance"})`, ""},
			{`max by (instance) (flussonic_memory_usage{instance=~"$instance"})`, ""},
			{`max by (instance) (flussonic_disk_io_usage{instance=~"$instance"})`, ""},
			{`max by (instance) (flussonic_disk_usage{instance=~"$instance"})`, ""},
			{`max by (instance) (flussonic_gpu_enc{instance=~"$instance"})`, ""},
			{`sum by (instance) (1 - headend_agent_probe_success{instance=~"$instance"})`, ""},
		},
	}
	return dashboard{
		name: "fleet", title: "Headend: fleet", about: "All servers, worst first.", variables: []variable{manyInstances},
		rows: []row{
			{"", []panel{
				stat("Servers", "short", 4, `count(group by (instance) ({`+anyServer+`,instance=~"$instance"}))`),
				stat("Silent for 5 minutes", "short", 4, `count(group by (instance) (present_over_time(headend_agent_build_info{instance=~"$instance"}[1d])) unless group by (instance) (present_over_time(headend_agent_build_info{instance=~"$instance"}[5m]))) or vector(0)`).limits(0, 1),
				stat("Streams", "short", 4, `sum(flussonic_streams{instance=~"$instance"})`),
				stat("Streams down", "short", 4, `count(`+down+`) or vector(0)`).limits(1, 10),
				stat("Clients", "short", 4, `sum(flussonic_clients{instance=~"$instance"})`),
				stat("Sent to clients", "bps", 4, `8 * sum(rate(flussonic_stream_bytes_out{instance=~"$instance"}[$__rate_interval]))`),
			}},
			{"", []panel{worst}},
			{"Over time, the ten worst", []panel{
				graph("Streams down", "short", 8, query{`topk(10, count by (instance) (` + down + `)) or vector(0)`, "{{instance}}"}),
				graph("Not yet delivered", "s", 8, query{`topk(10, max by (instance) (headend_agent_remote_write_oldest_pending_seconds{instance=~"$instance"}))`, "{{instance}}"}),
				graph("Scheduler", "percent", 8, query{`topk(10, max by (instance) (flussonic_scheduler_load{instance=~"$instance"}))`, "{{instance}}"}).upTo100().limits(0, 85),
				graph("CPU", "percent", 8, query{`topk(10, max by (instance) (flussonic_cpu_usage{instance=~"$instance"}))`, "{{instance}}"}).upTo100().limits(0, 85),
				graph("Busiest disk", "percent", 8, query{`topk(10, max by (instance) (flussonic_disk_io_usage{instance=~"$instance"}))`, "{{instance}}"}).upTo100().limits(0, 85),
				graph("Network out", "bps", 8, query{`topk(10, 8 * sum by (instance) (rate(flussonic_net_output_bytes{instance=~"$instance",interface!="lo"}[$__rate_interval])))`, "{{instance}}"}),
			}},
		},
	}
}
