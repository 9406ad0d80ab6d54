package host

import (
	"fmt"
	"slices"

	"github.com/prometheus/procfs/bcache"

	"headend-agent/internal/metric"
)

var bcacheSet = []row[bcache.BcacheStats]{
	{bcacheDesc("average_key_size_sectors", "Average data of a key in the B-tree, in sectors.", metric.Gauge), func(s *bcache.BcacheStats) float64 { return float64(s.AverageKeySize) }},
	{bcacheDesc("btree_cache_size_bytes", "Memory that the B-tree's cache uses.", metric.Gauge), func(s *bcache.BcacheStats) float64 { return float64(s.BtreeCacheSize) }},
	{bcacheDesc("cache_available_percent", "Part of the cache without dirty data.", metric.Gauge), func(s *bcache.BcacheStats) float64 { return float64(s.CacheAvailablePercent) }},
	{bcacheDesc("congested", "Congestion of the cache.", metric.Gauge), func(s *bcache.BcacheStats) float64 { return float64(s.Congested) }},
	{bcacheDesc("root_usage_percent", "Part of the B-tree's root node in use.", metric.Gauge), func(s *bcache.BcacheStats) float64 { return float64(s.RootUsagePercent) }},
	{bcacheDesc("tree_depth", "Depth of the B-tree.", metric.Gauge), func(s *bcache.BcacheStats) float64 { return float64(s.TreeDepth) }},
	{bcacheDesc("active_journal_entries", "Journal entries newer than the index.", metric.Gauge), func(s *bcache.BcacheStats) float64 { return float64(s.Internal.ActiveJournalEntries) }},
	{bcacheDesc("btree_nodes", "Nodes of the B-tree.", metric.Gauge), func(s *bcache.BcacheStats) float64 { return float64(s.Internal.BtreeNodes) }},
	{bcacheDesc("btree_read_average_duration_seconds", "Average time of a B-tree read.", metric.Gauge), func(s *bcache.BcacheStats) float64 {
		return float64(s.Internal.BtreeReadAverageDurationMicroSeconds) / 1e6
	}},
	{bcacheDesc("cache_read_races_total", "Reads from the cache whose bucket was reused meanwhile.", metric.Counter), func(s *bcache.BcacheStats) float64 { return float64(s.Internal.CacheReadRaces) }},
}

var bcacheBacking = []row[bcache.BdevStats]{
	{bcacheDesc("dirty_data_bytes", "Dirty data of the device in the cache.", metric.Gauge, "backing_device"), func(b *bcache.BdevStats) float64 { return float64(b.DirtyData) }},
	{bcacheDesc("dirty_target_bytes", "Dirty data that writeback aims at.", metric.Gauge, "backing_device"), func(b *bcache.BdevStats) float64 { return float64(b.WritebackRateDebug.Target) }},
	{bcacheDesc("writeback_rate", "Writeback rate in bytes per second.", metric.Gauge, "backing_device"), func(b *bcache.BdevStats) float64 { return float64(b.WritebackRateDebug.Rate) }},
	{bcacheDesc("writeback_rate_proportional_term", "Proportional part of the writeback rate.", metric.Gauge, "backing_device"), func(b *bcache.BdevStats) float64 { return float64(b.WritebackRateDebug.Proportional) }},
	{bcacheDesc("writeback_rate_integral_term", "Integral part of the writeback rate.", metric.Gauge, "backing_device"), func(b *bcache.BdevStats) float64 { return float64(b.WritebackRateDebug.Integral) }},
	{bcacheDesc("writeback_change", "Last change of the writeback rate.", metric.Gauge, "backing_device"), func(b *bcache.BdevStats) float64 { return float64(b.WritebackRateDebug.Change) }},
}

var bcacheTotals = []row[bcache.PeriodStats]{
	{bcacheDesc("bypassed_bytes_total", "Bytes that went past the cache.", metric.Counter, "backing_device"), func(t *bcache.PeriodStats) float64 { return float64(t.Bypassed) }},
	{bcacheDesc("cache_hits_total", "I/O answered by the cache.", metric.Counter, "backing_device"), func(t *bcache.PeriodStats) float64 { return float64(t.CacheHits) }},
	{bcacheDesc("cache_misses_total", "I/O not answered by the cache.", metric.Counter, "backing_device"), func(t *bcache.PeriodStats) float64 { return float64(t.CacheMisses) }},
	{bcacheDesc("cache_bypass_hits_total", "Hits of I/O meant to go past the cache.", metric.Counter, "backing_device"), func(t *bcache.PeriodStats) float64 { return float64(t.CacheBypassHits) }},
	{bcacheDesc("cache_bypass_misses_total", "Misses of I/O meant to go past the cache.", metric.Counter, "backing_device"), func(t *bcache.PeriodStats) float64 { return float64(t.CacheBypassMisses) }},
	{bcacheDesc("cache_miss_collisions_total", "Insertions after a miss that a write had forestalled.", metric.Counter, "backing_device"), func(t *bcache.PeriodStats) float64 { return float64(t.CacheMissCollisions) }},
}

var bcacheCaches = []row[bcache.CacheStats]{
	{bcacheDesc("io_errors", "I/O errors of the cache device, fading with time.", metric.Gauge, "cache_device"), func(c *bcache.CacheStats) float64 { return float64(c.IOErrors) }},
	{bcacheDesc("metadata_written_bytes_total", "Metadata written to the cache device.", metric.Counter, "cache_device"), func(c *bcache.CacheStats) float64 { return float64(c.MetadataWritten) }},
	{bcacheDesc("written_bytes_total", "Data written to the cache device.", metric.Counter, "cache_device"), func(c *bcache.CacheStats) float64 { return float64(c.Written) }},
}

var (
	bcacheReadaheads = bcacheDesc("cache_readaheads_total", "Times that data was read ahead.", metric.Counter, "backing_device")
	bcacheDescs      = append(slices.Concat(descs(bcacheSet), descs(bcacheBacking), descs(bcacheTotals), descs(bcacheCaches)), bcacheReadaheads)
)

func bcacheDesc(name, help string, typ metric.Type, labels ...string) *metric.Desc {
	return &metric.Desc{Name: "node_bcache_" + name, Help: help, Type: typ, Unit: unitOf(name), Labels: append([]string{"uuid"}, labels...)}
}

// collectBcache reads /sys/fs/bcache, but for priority_stats, which takes the kernel long.
func collectBcache(fs bcache.FS, out *metric.Set) error {
	stats, err := guarded(fs.StatsWithoutPriority)
	if err != nil {
		return fmt.Errorf("read bcache statistics: %w", err)
	}
	for _, s := range stats {
		addRows(out, bcacheSet, &s.Bcache, s.Name)
		for i := range s.Bdevs {
			b := &s.Bdevs[i]
			addRows(out, bcacheBacking, b, s.Name, b.Name)
			addRows(out, bcacheTotals, &b.Total, s.Name, b.Name)
			if n := b.Total.CacheReadaheads; n != 0 { // kernels since 5.13 have no such file
				out.Add(bcacheReadaheads, float64(n), s.Name, b.Name)
			}
		}
		for i := range s.Caches {
			addRows(out, bcacheCaches, &s.Caches[i], s.Name, s.Caches[i].Name)
		}
	}
	return nil
}
