package stream

import "headend-agent/internal/metric"

func vendorStream(name string, typ metric.Type, unit metric.Unit, help string) *metric.Desc {
	return &metric.Desc{Name: "flussonic_stream_" + name, Help: help, Type: typ, Unit: unit, Labels: []string{"stream", "server"}}
}

// vendorStreamTable pairs the vendor's names with where its versions keep the reading.
var vendorStreamTable = []struct {
	desc *metric.Desc
	of   func(*flussonicStream) value
}{
	{vendorStream("client_delay", metric.Gauge, metric.Milliseconds, "Delay of the clients; absent where the server does not tell it, and never stood in for by ts_delay."), func(f *flussonicStream) value { return f.values[fClientDelay] }},
	{vendorStream("bytes_in", metric.Counter, metric.Bytes, "Bytes received."), func(f *flussonicStream) value {
		return f.values[fBytesIn].or(f.values[fInputBytes]).or(f.sourceBytes())
	}},
	{vendorStream("bytes_out", metric.Counter, metric.Bytes, "Bytes sent."), func(f *flussonicStream) value { return f.values[fBytesOut].or(f.values[fPlayBytes]) }},
	{vendorStream("bitrate", metric.Gauge, metric.KbitPerSecond, "Bitrate in kbit/s, the number of the server's API, though the vendor's page says kB/s."), func(f *flussonicStream) value { return f.kbits() }},
	{vendorStream("start_running_at", metric.Gauge, metric.Milliseconds, "Unix time since when the stream runs, in milliseconds."), func(f *flussonicStream) value { return f.values[fStartRunningAt] }},
	{vendorStream("retry_count", metric.Gauge, metric.None, "Attempts to start the source; older versions count only while it is dead."), func(f *flussonicStream) value { return f.values[fRetryCount].or(f.values[fInputRetries]) }},
	{vendorStream("client_count", metric.Gauge, metric.None, "Clients that play the stream."), func(f *flussonicStream) value { return f.clients() }},
	{dvrDiskSize, func(f *flussonicStream) value { return f.values[fDVRDiskSize] }},
	{vendorStream("dvr_info_depth", metric.Gauge, metric.Seconds, "Time from the archive's first record to its last."), func(f *flussonicStream) value { return f.values[fDVRDepth] }},
	{vendorStream("dvr_info_duration", metric.Gauge, metric.Seconds, "Time that the archive holds, without gaps."), func(f *flussonicStream) value { return f.values[fDVRDuration] }},
}

var dvrDiskSize = vendorStream("dvr_info_disk_size", metric.Gauge, metric.Bytes, "What the server tells as disk_size: of the archive's disk in older versions, of the archive in newer ones, absent in the newest.")

func (f *flussonicStream) kbits() value { return f.values[fBitrate].or(f.values[fInputBitrate]) }

func (f *flussonicStream) clients() value {
	return f.values[fClientCount].or(f.values[fPlaySessions]).or(f.values[fOnlineClients])
}

// fill makes r the stream in the words that all servers share. What the vendor has a name for is not told twice, except in base units.
func (f *flussonicStream) fill(r *record, label string) {
	v := &f.values
	*r = record{
		name: label, status: f.status, alive: v[fAlive], bitrate: f.kbits().times(1000), viewers: f.clients(), tsDelay: v[fTsDelay].over(1000),
		inputErrors: v[fInputErrors], inputErrorRate: v[fInputErrorRate].or(v[fOldErrorRate]), lostPackets: v[fLostPackets],
		overloaded: v[fOverloaded], backup: f.onBackup(),
		written:     [...]value{v[fSegmentsFast], v[fSegmentsSlow], v[fSegmentsDelayed], v[fSegmentsCollapsed]},
		writeFailed: v[fSegmentsFailed], writeSkipped: v[fSegmentsSkipped],
	}
	if f.static.ok && f.static.v == 0 {
		r.onDemand = some(1)
	}
	if f.pushes > 0 {
		r.pushes, r.pushesRunning = some(float64(f.pushes)), some(float64(f.pushesRunning))
		r.pushBytes, r.pushRetries = f.pushBytes, f.pushRetries
	}
}
