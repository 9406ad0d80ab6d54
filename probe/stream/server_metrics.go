package stream

import "headend-agent/internal/metric"

// serverRecord is what any media server tells of itself. All of it may be absent.
type serverRecord struct {
	started, cpu, memory, scheduler value // Unix s; 0 to 1
	viewers, streams, online        value
	input, output                   value // bit/s
	inputBytes, outputBytes         value
}

func serverDesc(name string, typ metric.Type, unit metric.Unit, help string, more ...string) *metric.Desc {
	return &metric.Desc{Name: "headend_server_" + name, Help: help, Type: typ, Unit: unit, Labels: append([]string{"server"}, more...)}
}

var (
	serverInfo   = serverDesc("info", metric.Gauge, metric.None, "1, labelled with the kind and version of the media server.", "kind", "version", "build")
	serverStatus = serverDesc("status", metric.Gauge, metric.None, "1 for the status that the media server gives itself.", "status")

	serverDiskSize  = serverDesc("disk_size_bytes", metric.Gauge, metric.Bytes, "Size of a partition, as the media server sees it.", "path", "device")
	serverDiskUsage = serverDesc("disk_usage_ratio", metric.Gauge, metric.Ratio, "Used part of a partition, as the media server sees it.", "path", "device")
	serverDiskIO    = serverDesc("disk_io_ratio", metric.Gauge, metric.Ratio, "Part of the time that a partition's device was busy, as the media server sees it.", "path", "device")

	serverGPUEncoder = serverDesc("gpu_encoder_ratio", metric.Gauge, metric.Ratio, "Load of a transcoding device's encoder, as the media server sees it.", "gpu", "name", "type")
	serverGPUDecoder = serverDesc("gpu_decoder_ratio", metric.Gauge, metric.Ratio, "Load of a transcoding device's decoder, as the media server sees it.", "gpu", "name", "type")
	serverGPUCompute = serverDesc("gpu_compute_ratio", metric.Gauge, metric.Ratio, "Load of a transcoding device's processors, as the media server sees it.", "gpu", "name", "type")
	serverGPUTemp    = serverDesc("gpu_temperature_celsius", metric.Gauge, metric.Celsius, "Temperature of a transcoding device, as the media server sees it.", "gpu", "name", "type")

	serverDVBStrength = serverDesc("dvb_strength_ratio", metric.Gauge, metric.Ratio, "Signal strength of a DVB card, as the media server sees it.", "card", "adapter", "frontend")
	serverDVBSNR      = serverDesc("dvb_snr_ratio", metric.Gauge, metric.Ratio, "Signal quality of a DVB card, as the media server sees it.", "card", "adapter", "frontend")
	serverDVBBER      = serverDesc("dvb_bit_errors", metric.Gauge, metric.None, "Bit error figure of a DVB card, as the media server sees it.", "card", "adapter", "frontend")
	serverDVBLock     = serverDesc("dvb_locked", metric.Gauge, metric.None, "Whether a DVB card is locked, as the media server sees it.", "card", "adapter", "frontend")
)

var serverTable = []struct {
	desc *metric.Desc
	of   func(*serverRecord) value
}{
	{serverDesc("start_time_seconds", metric.Gauge, metric.Seconds, "Unix time at which the media server started."), func(r *serverRecord) value { return r.started }},
	{serverDesc("cpu_ratio", metric.Gauge, metric.Ratio, "CPU load, as the media server sees it."), func(r *serverRecord) value { return r.cpu }},
	{serverDesc("memory_ratio", metric.Gauge, metric.Ratio, "Used memory, as the media server sees it."), func(r *serverRecord) value { return r.memory }},
	{serverDesc("scheduler_ratio", metric.Gauge, metric.Ratio, "Load of the media server's own scheduler."), func(r *serverRecord) value { return r.scheduler }},
	{serverDesc("viewers", metric.Gauge, metric.None, "Clients of all streams."), func(r *serverRecord) value { return r.viewers }},
	{serverDesc("streams", metric.Gauge, metric.None, "Streams, online or not."), func(r *serverRecord) value { return r.streams }},
	{serverDesc("online_streams", metric.Gauge, metric.None, "Streams that are online."), func(r *serverRecord) value { return r.online }},
	{serverDesc("input_bits_per_second", metric.Gauge, metric.BitsPerSecond, "Input bitrate of all streams."), func(r *serverRecord) value { return r.input }},
	{serverDesc("output_bits_per_second", metric.Gauge, metric.BitsPerSecond, "Output bitrate of all streams."), func(r *serverRecord) value { return r.output }},
	{serverDesc("input_bytes_total", metric.Counter, metric.Bytes, "Bytes received."), func(r *serverRecord) value { return r.inputBytes }},
	{serverDesc("output_bytes_total", metric.Counter, metric.Bytes, "Bytes sent."), func(r *serverRecord) value { return r.outputBytes }},
}

func serverDescs() []*metric.Desc {
	ds := []*metric.Desc{
		serverInfo, serverStatus, serverDiskSize, serverDiskUsage, serverDiskIO, serverGPUEncoder, serverGPUDecoder, serverGPUCompute, serverGPUTemp,
		serverDVBStrength, serverDVBSNR, serverDVBBER, serverDVBLock,
	}
	for _, row := range serverTable {
		ds = append(ds, row.desc)
	}
	return ds
}

func (r *serverRecord) add(run *run) {
	for _, row := range serverTable {
		if v := row.of(r); v.ok {
			run.out.Add(row.desc, v.v, run.server)
		}
	}
}
