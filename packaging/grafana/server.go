package main

func server() dashboard {
	return dashboard{
		name: "server", title: "Headend: server", about: "One machine and its media server.",
		variables: []variable{{"instance", "Server", instances, false}},
		rows: []row{
			{"", []panel{
				stat("Up for", "s", 4, `time() - node_boot_time_seconds{instance="$instance"}`),
				stat("Media server up for", "s", 4, `time() - max(flussonic_boot_time_seconds{instance="$instance"})`),
				stat("Streams", "short", 4, `sum(flussonic_streams{instance="$instance"})`),
				stat("Online", "short", 4, `sum(headend_server_online_streams{instance="$instance"})`),
				stat("Clients", "short", 4, `sum(flussonic_clients{instance="$instance"})`),
				stat("Open files", "short", 4, `sum(flussonic_opened_files{instance="$instance"})`),
			}},
			{"Machine", []panel{
				graph("CPU by mode", "percentunit", 8, query{`avg by (mode) (rate(node_cpu_seconds_total{instance="$instance",mode!="idle"}[$__rate_interval]))`, "{{mode}}"}),
				graph("CPU and the media server's scheduler", "percent", 8, query{`flussonic_cpu_usage{instance="$instance"}`, "CPU"}, query{`flussonic_scheduler_load{instance="$instance"}`, "scheduler"}).upTo100().limits(0, 85),
				graph("Load", "short", 8, query{`node_load1{instance="$instance"}`, "1 minute"}, query{`node_load15{instance="$instance"}`, "15 minutes"}),
				graph("Memory", "bytes", 8, query{`node_memory_MemTotal_bytes{instance="$instance"} - node_memory_MemAvailable_bytes{instance="$instance"}`, "used"}, query{`node_memory_MemTotal_bytes{instance="$instance"}`, "there is"}),
				graph("Network in", "bps", 8, query{`8 * rate(flussonic_net_input_bytes{instance="$instance"}[$__rate_interval])`, "{{interface}}"}),
				graph("Network out", "bps", 8, query{`8 * rate(flussonic_net_output_bytes{instance="$instance"}[$__rate_interval])`, "{{interface}}"}),
				graph("Network errors and drops", "pps", 8, query{`rate(node_network_receive_drop_total{instance="$instance"}[$__rate_interval])`, "{{device}} drops"}, query{`rate(node_network_receive_errs_total{instance="$instance"}[$__rate_interval])`, "{{device}} errors"}),
				graph("UDP packets lost for want of buffers", "pps", 8, query{`rate(node_netstat_Udp_RcvbufErrors{instance="$instance"}[$__rate_interval])`, "IPv4"}).says("Multicast that the kernel had to throw away: raise net.core.rmem_max and the server's buffers."),
				graph("TCP segments sent again", "pps", 8, query{`rate(node_netstat_Tcp_RetransSegs{instance="$instance"}[$__rate_interval])`, "segments"}),
			}},
			{"Disks", []panel{
				graph("Busy", "percent", 8, query{`flussonic_disk_io_usage{instance="$instance"}`, "{{device}}"}).upTo100().limits(0, 85),
				graph("Full", "percent", 8, query{`flussonic_disk_usage{instance="$instance"}`, "{{path}}"}).upTo100().limits(0, 99),
				graph("Read and written", "Bps", 8, query{`rate(node_disk_read_bytes_total{instance="$instance"}[$__rate_interval])`, "{{device}} read"}, query{`rate(node_disk_written_bytes_total{instance="$instance"}[$__rate_interval])`, "{{device}} written"}),
			}},
			{"Media server", []panel{
				graph("Clients", "short", 8, query{`flussonic_clients{instance="$instance"}`, "clients {{server}}"}),
				graph("Streams", "short", 8, query{`flussonic_streams{instance="$instance"}`, "all {{server}}"}, query{`headend_server_online_streams{instance="$instance"}`, "online {{server}}"}),
				graph("Bitrate of all streams", "bps", 8, query{`headend_server_input_bits_per_second{instance="$instance"}`, "{{server}} in"}, query{`headend_server_output_bits_per_second{instance="$instance"}`, "{{server}} out"}),
			}},
		},
	}
}
