package main

func streams() dashboard {
	const which = `{instance=~"$instance",stream=~"$stream"}`
	const isDown = `1 - headend_stream_alive` + which + ` unless on (job, instance, server, stream) headend_stream_on_demand` + which + ` == 1` +
		` or ((rate(flussonic_stream_bytes_in` + which + `[$__rate_interval]) == bool 0) unless on (job, instance, stream) headend_stream_alive` + which + `)`
	worst := panel{
		kind: "table", title: "Streams, worst first", width: 24,
		columns: columns{"stream", []column{
			{"Down", "short", 0, 1}, {"Bitrate", "Kbits", 0, 0}, {"Clients", "short", 0, 0}, {"Restarts in 3 h", "short", 1, 4}, {"Retries in 1 h", "short", 1, 20},
			{"Errors in 1 h", "short", 1, 100}, {"Runs for", "s", 0, 0}, {"Archive", "s", 0, 0},
		}},
		queries: []query{
			{`max by (instance, stream) (` + isDown + `)`, ""},
			{`max by (instance, stream) (flussonic_stream_bitrate` + which + `)`, ""},
			{`max by (instance, stream) (flussonic_stream_client_count` + which + `)`, ""},
			{`max by (instance, stream) (changes(flussonic_stream_start_running_at` + which + `[3h]))`, ""},
			{`max by (instance, stream) (increase(flussonic_stream_retry_count` + which + `[1h]))`, ""},
			{`max by (instance, stream) (increase(headend_stream_input_errors_total` + which + `[1h]))`, ""},
			{`time() - max by (instance, stream) (flussonic_stream_start_running_at` + which + `) / 1000`, ""},
			{`max by (instance, stream) (flussonic_stream_dvr_info_depth` + which + `)`, ""},
		},
	}
	return dashboard{
		name: "streams", title: "Headend: streams", about: "Streams of one server or of all.",
		variables: []variable{manyInstances, {"stream", "Stream", `label_values({__name__=~"headend_stream_alive|flussonic_stream_bytes_in",instance=~"$instance"}, stream)`, true}},
		rows: []row{
			{"", []panel{worst}},
			{"Input", []panel{
				graph("Bitrate", "Kbits", 8, query{`flussonic_stream_bitrate` + which, "{{stream}}"}).says("In kbit/s, as the server tells it."),
				graph("Received", "bps", 8, query{`8 * rate(flussonic_stream_bytes_in` + which + `[$__rate_interval])`, "{{stream}}"}),
				graph("Since the last frame", "s", 8, query{`headend_stream_ts_delay_seconds` + which, "{{stream}}"}),
				graph("Errors", "cps", 8, query{`rate(headend_stream_input_errors_total` + which + `[$__rate_interval])`, "{{stream}}"}),
				graph("Attempts to start the source", "short", 8, query{`flussonic_stream_retry_count` + which, "{{stream}}"}),
				graph("On a backup source", "short", 8, query{`headend_stream_backup_source` + which, "{{stream}}"}),
			}},
			{"Output", []panel{
				graph("Clients", "short", 8, query{`flussonic_stream_client_count` + which, "{{stream}}"}),
				graph("Sent", "bps", 8, query{`8 * rate(flussonic_stream_bytes_out` + which + `[$__rate_interval])`, "{{stream}}"}),
				graph("Transcoder overloaded", "short", 8, query{`headend_stream_transcoder_overloaded` + which, "{{stream}}"}),
			}},
			{"Archive", []panel{
				graph("Depth", "s", 8, query{`flussonic_stream_dvr_info_depth` + which, "{{stream}}"}),
				graph("Missing in it", "s", 8, query{`flussonic_stream_dvr_info_depth` + which + ` - flussonic_stream_dvr_info_duration` + which, "{{stream}}"}),
				graph("Segments by speed of the disk", "cps", 8, query{`sum by (speed) (rate(headend_stream_dvr_segments_written_total` + which + `[$__rate_interval]))`, "{{speed}}"}, query{`sum(rate(headend_stream_dvr_segments_failed_total` + which + `[$__rate_interval]))`, "failed"}),
			}},
		},
	}
}
