//go:build linux && cgo && !nonvml

package nvmlchild

import "github.com/NVIDIA/go-nvml/pkg/nvml"

// codecNames are by nvmlEncoderType_t.
var codecNames = [...]string{nvml.ENCODER_QUERY_H264: "h264", nvml.ENCODER_QUERY_HEVC: "hevc", nvml.ENCODER_QUERY_AV1: "av1"}

// readCodecs learns, once per device, what its encoder can do. Cards without one (H100, H200) say 0 % of it, not that there is none;
// but they support no codec.
func readCodecs(_ *driver, g *gpu) nvml.Return {
	if g.codecsKnown {
		return nvml.SUCCESS
	}
	some := false
	for c := range codecNames {
		_, code := g.dev.GetEncoderCapacity(nvml.EncoderType(c))
		switch code {
		case nvml.SUCCESS:
			g.codecs[c], some = true, true
		case nvml.ERROR_NOT_SUPPORTED, nvml.ERROR_INVALID_ARGUMENT: // the latter of drivers older than the codec
			g.codecs[c] = false
		default:
			return code
		}
	}
	g.codecsKnown, g.noEncoder = true, !some
	return nvml.SUCCESS
}

// readSessions counts encoder sessions by codec: 0 for a codec that the card has, nothing for one that it lacks.
func readSessions(d *driver, g *gpu) nvml.Return {
	sessions, code := g.dev.GetEncoderSessions()
	if code != nvml.SUCCESS {
		return code
	}
	var n [len(codecNames)]int
	for _, s := range sessions {
		if int(s.CodecType) < len(n) {
			n[s.CodecType]++
		}
	}
	for c, name := range codecNames {
		if n[c] > 0 || g.codecs[c] {
			g.readings["sessions_"+name] = float64(n[c])
		}
	}
	return code
}

// history reads the driver's buffer of utilization samples: average and maximum of those that are new. At first all are, as far
// back as the driver remembers.
func history(key string, kind nvml.SamplingType) call {
	average, most := key+"_average", key+"_max"
	return call{"GetSamples", symbols("GetSamples"), func(_ *driver, g *gpu) nvml.Return {
		since := g.seen[kind]
		u, code := readSamples(g.dev, kind, since)
		if code != nvml.SUCCESS {
			return code
		}
		if u.n == 0 && since > 0 { // nothing is new, or the clock that the driver stamps by was set back
			if all, _ := readSamples(g.dev, kind, 0); all.n > 0 && all.last < since {
				g.seen[kind] = all.last
			}
			return code
		}
		g.seen[kind] = u.last
		if key == "enc" {
			g.noEncoder = g.noEncoder && u.most == 0
		}
		if u.n > 0 && (key != "enc" || !g.noEncoder) {
			g.readings[average], g.readings[most] = u.sum/float64(u.n), u.most
		}
		return code
	}}
}

// used is what samples of utilization come to, in percent.
type used struct {
	sum, most float64
	n         int
	last      uint64 // time of the newest, microseconds
}

// readSamples reads those after since.
func readSamples(dev nvml.Device, kind nvml.SamplingType, since uint64) (u used, code nvml.Return) {
	valueType, samples, code := dev.GetSamples(kind, since)
	if code == nvml.ERROR_NOT_FOUND {
		return u, nvml.SUCCESS
	}
	for _, s := range samples {
		v, ok := number(valueType, s.SampleValue)
		if !ok || v < 0 || v > 100 || s.TimeStamp <= since { // go-nvml leaves empty entries at the end
			continue
		}
		u = used{u.sum + v, max(u.most, v), u.n + 1, max(u.last, s.TimeStamp)}
	}
	return u, code
}
