package stream

// Readings of a Flussonic stream, as its API has them. Fields that a version lacks are absent.
const (
	fAlive = iota
	fTsDelay
	fBitrate // kbit/s
	fInputBitrate
	fBytesIn
	fInputBytes
	fBytesOut
	fPlayBytes
	fClientCount
	fOnlineClients
	fPlaySessions
	fRetryCount
	fInputRetries
	fStartRunningAt // Unix ms
	fClientDelay    // ms
	fInputErrors
	fInputErrorRate // of the last minute
	fOldErrorRate
	fLostPackets
	fOverloaded
	fDVRDiskSize
	fDVRBytes
	fDVRDepth
	fDVRDuration
	fSegmentsFast
	fSegmentsSlow
	fSegmentsDelayed
	fSegmentsCollapsed
	fSegmentsFailed
	fSegmentsSkipped
	streamValues
)

// statsTree is the object stats of a stream. In 23.01 the input's figures are directly in it, in 25 below input.
var statsTree = tree{
	"alive": leaf(fAlive), "ts_delay": leaf(fTsDelay), "bitrate": leaf(fBitrate), "input_bitrate": leaf(fInputBitrate),
	"bytes_in": leaf(fBytesIn), "bytes_out": leaf(fBytesOut), "client_count": leaf(fClientCount), "online_clients": leaf(fOnlineClients),
	"retry_count": leaf(fRetryCount), "start_running_at": leaf(fStartRunningAt), "client_delay": leaf(fClientDelay),
	"input_error_rate": leaf(fOldErrorRate), "transcoder_overloaded": leaf(fOverloaded),
	"play":     branch(tree{"play_bytes": leaf(fPlayBytes), "play_opened_sessions": leaf(fPlaySessions)}),
	"dvr_info": branch(tree{"disk_size": leaf(fDVRDiskSize), "bytes": leaf(fDVRBytes), "depth": leaf(fDVRDepth), "duration": leaf(fDVRDuration)}),
	"dvr_write": branch(tree{
		"segments_written_fast": leaf(fSegmentsFast), "segments_written_slow": leaf(fSegmentsSlow), "segments_written_delayed": leaf(fSegmentsDelayed),
		"segments_written_collapsed": leaf(fSegmentsCollapsed), "segments_failed": leaf(fSegmentsFailed), "segments_skipped": leaf(fSegmentsSkipped),
	}),
}

// inputTree is the object stats.input of 25, but for its url.
var inputTree = tree{
	"bytes": leaf(fInputBytes), "retries": leaf(fInputRetries), "errors": leaf(fInputErrors), "error_rate": leaf(fInputErrorRate),
	"errors_lost_packets": leaf(fLostPackets),
}

// streamFields is what is selected of a stream. select reaches one step into objects and none into arrays.
const streamFields = "name,static,disabled,inputs,pushes,stats.alive,stats.status,stats.ts_delay,stats.bitrate,stats.input_bitrate," +
	"stats.bytes_in,stats.bytes_out,stats.client_count,stats.online_clients,stats.retry_count,stats.start_running_at," +
	"stats.client_delay,stats.input_error_rate,stats.transcoder_overloaded,stats.url,stats.inputs,stats.input,stats.play," +
	"stats.dvr_info,stats.dvr_write"

// optionsTree is what the old API keeps apart, in options.
var optionsTree = tree{"disabled": leaf(0), "static": leaf(1)}
