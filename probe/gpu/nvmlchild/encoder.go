//go:build linux && cgo && !nonvml

package nvmlchild

import (
	"encoding/binary"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

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

// history reads the driver's buffer of utilization samples: average and maximum of those that are new.
func history(key string, kind nvml.SamplingType) call {
	return call{"GetSamples", symbols("GetSamples"), func(_ *driver, g *gpu) nvml.Return {
		_, samples, code := g.dev.GetSamples(kind, g.seen[kind])
		if code != nvml.SUCCESS {
			return code
		}
		since, last := g.seen[kind], g.seen[kind]
		sum, most, n := 0.0, 0.0, 0
		for _, s := range samples {
			v := float64(binary.LittleEndian.Uint32(s.SampleValue[:])) // these kinds are all unsigned int
			if s.TimeStamp <= since || v > 100 {                       // go-nvml leaves empty entries at the end
				continue
			}
			sum, most, n, last = sum+v, max(most, v), n+1, max(last, s.TimeStamp)
		}
		g.seen[kind] = last
		if n > 0 && (key != "enc" || most > 0 || !g.noEncoder) {
			g.readings[key+"_average"], g.readings[key+"_max"] = sum/float64(n), most
		}
		return code
	}}
}
