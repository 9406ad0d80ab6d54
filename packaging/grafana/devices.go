package main

func gpu() dashboard {
	const which = `{instance=~"$instance"}`
	return dashboard{
		name: "gpu", title: "Headend: GPU", about: "Encoders, decoders and what limits them.", variables: []variable{manyInstances},
		rows: []row{
			{"", []panel{
				stat("GPUs", "short", 4, `count(headend_gpu_up`+which+`)`),
				stat("That do not answer", "short", 4, `count(headend_gpu_up`+which+` == 0) or vector(0)`).limits(0, 1),
				stat("Busiest encoder", "percent", 4, `max(flussonic_gpu_enc`+which+`)`).limits(75, 90),
				stat("Busiest decoder", "percent", 4, `max(flussonic_gpu_dec`+which+`)`).limits(75, 90),
				stat("Hottest", "celsius", 4, `max(flussonic_gpu_temp`+which+`)`).limits(80, 85),
				stat("Encoder sessions", "short", 4, `sum(headend_gpu_encoder_sessions`+which+`)`),
			}},
			{"", []panel{
				graph("Encoder", "percent", 8, query{`flussonic_gpu_enc` + which, "{{instance}} {{gpu}}"}).upTo100().limits(0, 90),
				graph("Decoder", "percent", 8, query{`flussonic_gpu_dec` + which, "{{instance}} {{gpu}}"}).upTo100().limits(0, 90),
				graph("Busiest moment of each engine", "percentunit", 8, query{`headend_gpu_engine_utilization_max_ratio` + which, "{{instance}} {{gpu}} {{engine}}"}).upTo100(),
				graph("Temperature", "celsius", 8, query{`flussonic_gpu_temp` + which, "{{instance}} {{gpu}}"}).limits(0, 85),
				graph("Memory", "percentunit", 8, query{`headend_gpu_memory_used_bytes` + which + ` / headend_gpu_memory_total_bytes` + which, "{{instance}} {{gpu}}"}).upTo100(),
				graph("Power, of its limit", "percentunit", 8, query{`headend_gpu_power_watts` + which + ` / headend_gpu_power_limit_watts` + which, "{{instance}} {{gpu}}"}).upTo100(),
				graph("Encoder sessions", "short", 8, query{`headend_gpu_encoder_sessions` + which, "{{instance}} {{gpu}} {{codec}}"}),
				graph("Clock of the video engines", "hertz", 8, query{`headend_gpu_clock_hertz{instance=~"$instance",domain="video"}`, "{{instance}} {{gpu}}"}).says("It falls when idle: 100 % at a low clock is not full capacity."),
				graph("Time throttled", "percentunit", 8, query{`rate(headend_gpu_throttled_seconds_total` + which + `[$__rate_interval])`, "{{instance}} {{gpu}} {{reason}}"}),
				graph("Errors that the driver reports (XID)", "short", 12, query{`increase(headend_gpu_xid_errors_total` + which + `[1h])`, "{{instance}} {{gpu}} XID {{xid}}"}),
				graph("Streams whose transcoder is overloaded", "short", 12, query{`sum by (instance) (headend_stream_transcoder_overloaded` + which + `)`, "{{instance}}"}),
			}},
		},
	}
}

func dvb() dashboard {
	const which = `{instance=~"$instance"}`
	return dashboard{
		name: "dvb", title: "Headend: DVB", about: "Tuners: lock, signal, errors.", variables: []variable{manyInstances},
		rows: []row{
			{"", []panel{
				stat("Frontends", "short", 6, `count(headend_dvb_frontend_info`+which+`)`),
				stat("In use", "short", 6, `sum(headend_dvb_frontend_in_use`+which+`)`),
				stat("In use without a lock", "short", 6, `count(headend_dvb_frontend_locked`+which+` == 0 and on (job, instance, adapter, frontend) headend_dvb_frontend_in_use`+which+` == 1) or vector(0)`).limits(0, 1),
				stat("That cannot be read", "short", 6, `count(headend_dvb_frontend_up`+which+` == 0) or vector(0)`).limits(0, 1),
			}},
			{"", []panel{
				graph("Lock", "short", 8, query{`headend_dvb_frontend_locked` + which, "{{instance}} {{adapter}}/{{frontend}}"}),
				graph("Carrier to noise", "dB", 8, query{`headend_dvb_frontend_cnr_decibels` + which, "{{instance}} {{adapter}}/{{frontend}}"}).orLess(),
				graph("Signal strength", "dBm", 8, query{`headend_dvb_frontend_signal_strength_dbm` + which, "{{instance}} {{adapter}}/{{frontend}}"}).orLess(),
				graph("Signal strength, of the driver's range", "percent", 8, query{`flussonic_dvb_card_strength` + which, "{{instance}} {{adapter}}/{{frontend}}"}).upTo100(),
				graph("Blocks that could not be corrected", "cps", 8, query{`rate(headend_dvb_frontend_block_errors_total` + which + `[$__rate_interval])`, "{{instance}} {{adapter}}/{{frontend}}"}),
				graph("Bit error ratio after correction", "sci", 8, query{`rate(headend_dvb_frontend_post_fec_bit_errors_total` + which + `[$__rate_interval]) / rate(headend_dvb_frontend_post_fec_bits_total` + which + `[$__rate_interval])`, "{{instance}} {{adapter}}/{{frontend}}"}),
				graph("Readings that failed", "cps", 12, query{`rate(headend_dvb_frontend_errors_total` + which + `[$__rate_interval])`, "{{instance}} {{adapter}}/{{frontend}} {{reason}}"}),
				graph("Frequency", "hertz", 12, query{`headend_dvb_frontend_frequency_hertz` + which, "{{instance}} {{adapter}}/{{frontend}} {{system}}"}),
			}},
		},
	}
}
