package stream

import "headend-agent/internal/metric"

// maxParts bounds the disks, devices and cards of a server.
const maxParts = 256

// each enters the array that comes next and lets read take each of its objects, the first maxParts of them.
func each(s *scanner, read func()) {
	if !s.array() {
		return
	}
	for n := 0; s.item(); n++ {
		if n < maxParts {
			read()
		} else {
			s.skip()
		}
	}
}

func addSome(out *metric.Set, d *metric.Desc, v value, labels ...string) {
	if v.ok {
		out.Add(d, v.v, labels...)
	}
}

var partitionTree = tree{"total_mb": leaf(0), "usage": leaf(1), "io_util": leaf(2)}

// readPartitions takes the disks. That the server's megabyte has 1024 * 1024 bytes is a guess: the host's probes tell the truth.
func readPartitions(s *scanner, run *run) {
	each(s, func() {
		var v [3]value
		var path, device string
		for k := range s.fields() {
			switch string(k) {
			case "path":
				s.string(&path)
			case "device":
				s.string(&device)
			default:
				partitionTree.one(s, k, v[:])
			}
		}
		addSome(run.out, serverDiskSize, v[0].times(1<<20), run.server, path, device)
		addSome(run.out, serverDiskUsage, v[1].over(100), run.server, path, device)
		addSome(run.out, serverDiskIO, v[2].over(100), run.server, path, device)
	})
}

var deviceTree = tree{"gpu_enc": leaf(0), "gpu_dec": leaf(1), "gpu_sm": leaf(2), "gpu_temp": leaf(3)}

func readDevices(s *scanner, run *run) {
	each(s, func() {
		var v [4]value
		var id, name, typ string
		for k := range s.fields() {
			switch string(k) {
			case "id":
				s.string(&id)
			case "name":
				s.string(&name)
			case "type":
				s.string(&typ)
			default:
				deviceTree.one(s, k, v[:])
			}
		}
		addSome(run.out, serverGPUEncoder, v[0].over(100), run.server, id, name, typ)
		addSome(run.out, serverGPUDecoder, v[1].over(100), run.server, id, name, typ)
		addSome(run.out, serverGPUCompute, v[2].over(100), run.server, id, name, typ)
		addSome(run.out, serverGPUTemp, v[3], run.server, id, name, typ)
	})
}
