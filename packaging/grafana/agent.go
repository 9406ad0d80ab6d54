package main

func agent() dashboard {
	const which = `{instance=~"$instance"}`
	return dashboard{
		name: "agent", title: "Headend: the agent", about: "What the agent costs, what it keeps, what gets through.", variables: []variable{manyInstances},
		rows: []row{
			{"", []panel{
				stat("Agents", "short", 4, `count(headend_agent_build_info`+which+`)`),
				stat("Versions", "short", 4, `count(group by (version) (headend_agent_build_info`+which+`))`),
				stat("Probes that fail", "short", 4, `count(headend_agent_probe_success`+which+` == 0) or vector(0)`).limits(1, 10),
				stat("Furthest behind", "s", 4, `max(headend_agent_remote_write_oldest_pending_seconds`+which+`)`).limits(60, 600),
				stat("Samples lost in a day", "short", 4, `sum(increase(headend_agent_remote_write_samples_dropped_total`+which+`[1d]))`).limits(0, 1),
				stat("Samples refused in a day", "short", 4, `sum(increase(headend_agent_remote_write_samples_refused_total`+which+`[1d]))`).limits(1, 1000),
			}},
			{"The way to the receiver", []panel{
				graph("Samples that wait", "short", 8, query{`headend_agent_remote_write_samples_pending` + which, "{{instance}} {{destination}}"}),
				graph("Age of the oldest", "s", 8, query{`headend_agent_remote_write_oldest_pending_seconds` + which, "{{instance}} {{destination}}"}),
				graph("Samples delivered", "cps", 8, query{`rate(headend_agent_remote_write_samples_delivered_total` + which + `[$__rate_interval])`, "{{instance}} {{destination}}"}),
				graph("Samples refused, dropped, uncertain", "cps", 8,
					query{`rate(headend_agent_remote_write_samples_refused_total` + which + `[$__rate_interval])`, "{{instance}} {{destination}} refused"},
					query{`rate(headend_agent_remote_write_samples_dropped_total` + which + `[$__rate_interval])`, "{{instance}} {{destination}} {{reason}}"},
					query{`rate(headend_agent_remote_write_samples_uncertain_total` + which + `[$__rate_interval])`, "{{instance}} {{destination}} uncertain"}),
				graph("Requests by answer", "reqps", 8, query{`sum by (instance, status) (rate(headend_agent_remote_write_requests_total` + which + `[$__rate_interval]))`, "{{instance}} {{status}}"}),
				graph("Uplink", "bps", 8, query{`8 * rate(headend_agent_remote_write_bytes_total` + which + `[$__rate_interval])`, "{{instance}} {{destination}}"}),
				graph("Bytes a sample", "decbytes", 8, query{`rate(headend_agent_remote_write_bytes_total` + which + `[$__rate_interval]) / rate(headend_agent_remote_write_samples_delivered_total` + which + `[$__rate_interval])`, "{{instance}} {{destination}}"}),
				graph("Time of a request", "s", 8, query{`rate(headend_agent_remote_write_request_seconds_total` + which + `[$__rate_interval]) / on (job, instance, destination) sum by (job, instance, destination) (rate(headend_agent_remote_write_requests_total` + which + `[$__rate_interval]))`, "{{instance}} {{destination}}"}),
				graph("The receiver's clock, ahead of the agent's", "s", 8, query{`headend_agent_remote_write_clock_offset_seconds` + which, "{{instance}} {{destination}}"}).orLess(),
			}},
			{"Buffer", []panel{
				graph("Ring on disk, used", "percentunit", 8, query{`headend_agent_buffer_slots` + which + ` * 1048576 / headend_agent_buffer_limit_bytes` + which, "{{instance}}"}).upTo100().limits(0, 0.9),
				graph("Memory, used", "percentunit", 8, query{`headend_agent_buffer_memory_bytes` + which + ` / headend_agent_buffer_memory_limit_bytes` + which, "{{instance}}"}).upTo100(),
				graph("Samples put in", "cps", 8, query{`rate(headend_agent_buffer_samples_appended_total` + which + `[$__rate_interval])`, "{{instance}}"}),
			}},
			{"Probes", []panel{
				graph("Duration, the ten slowest", "s", 8, query{`topk(10, headend_agent_probe_duration_seconds` + which + `)`, "{{instance}} {{probe}} {{target}}"}),
				graph("Series", "short", 8, query{`sum by (instance) (headend_agent_probe_series` + which + `)`, "{{instance}}"}),
				graph("Failed runs", "cps", 8, query{`rate(headend_agent_probe_runs_failed_total` + which + `[$__rate_interval])`, "{{instance}} {{probe}} {{target}}"}),
			}},
			{"Cost", []panel{
				graph("CPU", "percentunit", 8, query{`rate(headend_agent_cpu_seconds_total` + which + `[$__rate_interval])`, "{{instance}}"}),
				graph("Memory", "bytes", 8, query{`headend_agent_resident_memory_bytes` + which, "{{instance}}"}),
				graph("Series in memory", "short", 8, query{`headend_agent_series` + which, "{{instance}}"}),
			}},
		},
	}
}
