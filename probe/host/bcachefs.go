package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/prometheus/procfs/bcachefs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

var (
	bcachefsInfo         = bcachefsDesc("info", "A mounted bcachefs, always 1.", metric.Gauge)
	bcachefsBtreeCache   = bcachefsDesc("btree_cache_size_bytes", "Memory that the B-tree's cache uses.", metric.Gauge)
	bcachefsCompressed   = bcachefsDesc("compression_compressed_bytes", "Compressed size by algorithm.", metric.Gauge, "algorithm")
	bcachefsUncompressed = bcachefsDesc("compression_uncompressed_bytes", "Size before compression by algorithm.", metric.Gauge, "algorithm")
	bcachefsErrors       = bcachefsDesc("errors_total", "Errors by type.", metric.Counter, "error_type")
	bcachefsBtreeWrites  = bcachefsDesc("btree_writes_total", "B-tree writes by type.", metric.Counter, "type")
	bcachefsWriteSize    = bcachefsDesc("btree_write_average_size_bytes", "Average size of B-tree writes by type.", metric.Gauge, "type")
	bcachefsDevice       = bcachefsDesc("device_info", "A device of the file system, always 1.", metric.Gauge, "device", "label", "state")
	bcachefsBucketSize   = bcachefsDesc("device_bucket_size_bytes", "Size of a bucket.", metric.Gauge, "device")
	bcachefsBuckets      = bcachefsDesc("device_buckets", "Buckets of the device.", metric.Gauge, "device")
	bcachefsDurability   = bcachefsDesc("device_durability", "Replicas that data on the device counts for.", metric.Gauge, "device")
	bcachefsIODone       = bcachefsDesc("device_io_done_bytes_total", "Bytes read and written by type of data.", metric.Counter, "device", "operation", "data_type")
	bcachefsIOErrors     = bcachefsDesc("device_io_errors_total", "I/O errors by type.", metric.Counter, "device", "type")
	bcachefsDescs        = []*metric.Desc{bcachefsInfo, bcachefsBtreeCache, bcachefsCompressed, bcachefsUncompressed, bcachefsErrors,
		bcachefsBtreeWrites, bcachefsWriteSize, bcachefsDevice, bcachefsBucketSize, bcachefsBuckets, bcachefsDurability, bcachefsIODone, bcachefsIOErrors}
)

func bcachefsDesc(name, help string, typ metric.Type, labels ...string) *metric.Desc {
	return &metric.Desc{Name: "node_bcachefs_" + name, Help: help, Type: typ, Unit: unitOf(name), Labels: append([]string{"uuid"}, labels...)}
}

// bcachefsProbe reads /sys/fs/bcachefs.
type bcachefsProbe struct {
	fs       bcachefs.FS
	counters map[string]*metric.Desc // by the file's name
}

func newBcachefs(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := bcachefs.NewFS(env.Sys)
	if err != nil {
		return nil, fmt.Errorf("open sysfs: %w", err)
	}
	return bcachefsProbe{fs, map[string]*metric.Desc{}}, nil
}

func (p bcachefsProbe) Collect(_ context.Context, out *metric.Set) error {
	stats, err := p.fs.Stats()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read bcachefs statistics: %w", err)
	}
	for _, s := range stats {
		p.collect(s, out)
	}
	return nil
}

func (p bcachefsProbe) collect(s *bcachefs.Stats, out *metric.Set) {
	id := s.UUID
	out.Add(bcachefsInfo, 1, id)
	out.Add(bcachefsBtreeCache, float64(s.BtreeCacheSizeBytes), id)
	for _, name := range sortedKeys(s.Compression) {
		out.Add(bcachefsCompressed, float64(s.Compression[name].CompressedBytes), id, name)
		out.Add(bcachefsUncompressed, float64(s.Compression[name].UncompressedBytes), id, name)
	}
	for _, name := range sortedKeys(s.Errors) {
		out.Add(bcachefsErrors, float64(s.Errors[name].Count), id, name)
	}
	for _, name := range sortedKeys(s.Counters) {
		d := p.counters[name]
		if d == nil {
			d = bcachefsDesc(familyName(name)+"_total", "Kernel's counter "+name+" since the file system was made.", metric.Counter)
			p.counters[name] = d
		}
		out.Add(d, float64(s.Counters[name].SinceFilesystemCreation), id)
	}
	for _, name := range sortedKeys(s.BtreeWrites) {
		out.Add(bcachefsBtreeWrites, float64(s.BtreeWrites[name].Count), id, name)
		out.Add(bcachefsWriteSize, float64(s.BtreeWrites[name].SizeBytes), id, name)
	}
	for _, name := range sortedKeys(s.Devices) {
		d := s.Devices[name]
		if d == nil {
			continue
		}
		out.Add(bcachefsDevice, 1, id, name, d.Label, d.State)
		out.Add(bcachefsBucketSize, float64(d.BucketSizeBytes), id, name)
		out.Add(bcachefsBuckets, float64(d.Buckets), id, name)
		out.Add(bcachefsDurability, float64(d.Durability), id, name)
		for _, op := range sortedKeys(d.IODone) {
			for _, data := range sortedKeys(d.IODone[op]) {
				out.Add(bcachefsIODone, float64(d.IODone[op][data]), id, name, op, data)
			}
		}
		for _, typ := range sortedKeys(d.IOErrors) {
			out.Add(bcachefsIOErrors, float64(d.IOErrors[typ]), id, name, typ)
		}
	}
}
