package stream

import "headend-agent/internal/metric"

// record is what any media server tells of one stream. All of it may be absent.
type record struct {
	name   string // as a label
	status string

	alive, onDemand, bitrate, viewers, tsDelay    value // bit/s; s
	inputErrors, inputErrorRate, lostPackets      value // packets; packets per second
	overloaded, backup                            value
	written                                       [len(writeSpeeds)]value // DVR segments
	writeFailed, writeSkipped                     value
	pushes, pushesRunning, pushBytes, pushRetries value
	inputBytes, outputBytes, started              value // where the server has no names of its own for them
}

var writeSpeeds = [...]string{"fast", "slow", "delayed", "collapsed"}

func streamDesc(name string, typ metric.Type, unit metric.Unit, help string, more ...string) *metric.Desc {
	return &metric.Desc{Name: "headend_stream_" + name, Help: help, Type: typ, Unit: unit, Labels: append([]string{"server", "stream"}, more...)}
}

var (
	streamUp = &metric.Desc{Name: "headend_stream_up", Help: "Whether the media server's stream list could be read.", Type: metric.Gauge,
		Labels: []string{"server"}}
	streamStatus  = streamDesc("status", metric.Gauge, metric.None, "1 for the status that the server gives the stream.", "status")
	streamWritten = streamDesc("dvr_segments_written_total", metric.Counter, metric.None, "Archive segments written, by how fast the disk took them.", "speed")
)

// streamTable pairs the families of every media server with the record's readings.
var streamTable = []struct {
	desc *metric.Desc
	of   func(*record) value
}{
	{streamDesc("alive", metric.Gauge, metric.None, "Whether the stream delivers frames."), func(r *record) value { return r.alive }},
	{streamDesc("on_demand", metric.Gauge, metric.None, "1 for a stream that runs only while somebody watches."), func(r *record) value { return r.onDemand }},
	{streamDesc("bitrate_bits_per_second", metric.Gauge, metric.BitsPerSecond, "Input bitrate."), func(r *record) value { return r.bitrate }},
	{streamDesc("viewers", metric.Gauge, metric.None, "Clients that play the stream."), func(r *record) value { return r.viewers }},
	{streamDesc("ts_delay_seconds", metric.Gauge, metric.Seconds, "Time since the last frame."), func(r *record) value { return r.tsDelay }},
	{streamDesc("input_errors_total", metric.Counter, metric.None, "Errors found in the input."), func(r *record) value { return r.inputErrors }},
	{streamDesc("input_errors_per_second", metric.Gauge, metric.None, "Rate of input errors, as the server computes it."), func(r *record) value { return r.inputErrorRate }},
	{streamDesc("input_lost_packets_total", metric.Counter, metric.None, "Packets missing in the input."), func(r *record) value { return r.lostPackets }},
	{streamDesc("transcoder_overloaded", metric.Gauge, metric.None, "Whether the stream's transcoder cannot keep up."), func(r *record) value { return r.overloaded }},
	{streamDesc("backup_source", metric.Gauge, metric.None, "Whether a source other than the first choice is in use; only with several sources."), func(r *record) value { return r.backup }},
	{streamDesc("dvr_segments_failed_total", metric.Counter, metric.None, "Archive segments that could not be written."), func(r *record) value { return r.writeFailed }},
	{streamDesc("dvr_segments_skipped_total", metric.Counter, metric.None, "Archive segments that were not written."), func(r *record) value { return r.writeSkipped }},
	{streamDesc("pushes", metric.Gauge, metric.None, "Configured pushes to other servers."), func(r *record) value { return r.pushes }},
	{streamDesc("pushes_running", metric.Gauge, metric.None, "Pushes that run."), func(r *record) value { return r.pushesRunning }},
	{streamDesc("push_bytes_total", metric.Counter, metric.Bytes, "Bytes pushed, by all pushes of the stream."), func(r *record) value { return r.pushBytes }},
	{streamDesc("push_retries_total", metric.Counter, metric.None, "Attempts to restart pushes of the stream."), func(r *record) value { return r.pushRetries }},
	{streamDesc("input_bytes_total", metric.Counter, metric.Bytes, "Bytes received. Flussonic's are flussonic_stream_bytes_in."), func(r *record) value { return r.inputBytes }},
	{streamDesc("output_bytes_total", metric.Counter, metric.Bytes, "Bytes sent. Flussonic's are flussonic_stream_bytes_out."), func(r *record) value { return r.outputBytes }},
	{streamDesc("start_time_seconds", metric.Gauge, metric.Seconds, "Unix time since when the stream runs. Flussonic's is flussonic_stream_start_running_at."), func(r *record) value { return r.started }},
}

func streamDescs() []*metric.Desc {
	ds := []*metric.Desc{streamUp, streamStatus, streamWritten}
	for _, row := range streamTable {
		ds = append(ds, row.desc)
	}
	return ds
}

// add adds a record under a server's name.
func (r *record) add(out *metric.Set, server string) {
	for i := range streamTable {
		if v := streamTable[i].of(r); v.ok {
			out.Add(streamTable[i].desc, v.v, server, r.name)
		}
	}
	if r.status != "" {
		out.Add(streamStatus, 1, server, r.name, r.status)
	}
	for i, v := range r.written {
		if v.ok {
			out.Add(streamWritten, v.v, server, r.name, writeSpeeds[i])
		}
	}
}
