package host

import (
	"fmt"

	"github.com/prometheus/procfs/xfs"

	"headend-agent/internal/metric"
)

var xfsParts = []row[xfs.Stats]{
	{xfsDesc("extent_allocation_extents_allocated", "Extents allocated."), func(s *xfs.Stats) float64 { return float64(s.ExtentAllocation.ExtentsAllocated) }},
	{xfsDesc("extent_allocation_blocks_allocated", "Blocks allocated."), func(s *xfs.Stats) float64 { return float64(s.ExtentAllocation.BlocksAllocated) }},
	{xfsDesc("extent_allocation_extents_freed", "Extents freed."), func(s *xfs.Stats) float64 { return float64(s.ExtentAllocation.ExtentsFreed) }},
	{xfsDesc("extent_allocation_blocks_freed", "Blocks freed."), func(s *xfs.Stats) float64 { return float64(s.ExtentAllocation.BlocksFreed) }},
	{xfsDesc("allocation_btree_lookups", "Lookups in the allocation B-tree."), func(s *xfs.Stats) float64 { return float64(s.AllocationBTree.Lookups) }},
	{xfsDesc("allocation_btree_compares", "Compares in the allocation B-tree."), func(s *xfs.Stats) float64 { return float64(s.AllocationBTree.Compares) }},
	{xfsDesc("allocation_btree_records_inserted", "Records put into the allocation B-tree."), func(s *xfs.Stats) float64 { return float64(s.AllocationBTree.RecordsInserted) }},
	{xfsDesc("allocation_btree_records_deleted", "Records taken from the allocation B-tree."), func(s *xfs.Stats) float64 { return float64(s.AllocationBTree.RecordsDeleted) }},
	{xfsDesc("block_mapping_reads", "Block maps for reads."), func(s *xfs.Stats) float64 { return float64(s.BlockMapping.Reads) }},
	{xfsDesc("block_mapping_writes", "Block maps for writes."), func(s *xfs.Stats) float64 { return float64(s.BlockMapping.Writes) }},
	{xfsDesc("block_mapping_unmaps", "Blocks unmapped."), func(s *xfs.Stats) float64 { return float64(s.BlockMapping.Unmaps) }},
	{xfsDesc("block_mapping_extent_list_insertions", "Entries put into extent lists."), func(s *xfs.Stats) float64 { return float64(s.BlockMapping.ExtentListInsertions) }},
	{xfsDesc("block_mapping_extent_list_deletions", "Entries taken from extent lists."), func(s *xfs.Stats) float64 { return float64(s.BlockMapping.ExtentListDeletions) }},
	{xfsDesc("block_mapping_extent_list_lookups", "Lookups in extent lists."), func(s *xfs.Stats) float64 { return float64(s.BlockMapping.ExtentListLookups) }},
	{xfsDesc("block_mapping_extent_list_compares", "Compares in extent lists."), func(s *xfs.Stats) float64 { return float64(s.BlockMapping.ExtentListCompares) }},
	{xfsDesc("block_map_btree_lookups", "Lookups in the block map B-tree."), func(s *xfs.Stats) float64 { return float64(s.BlockMapBTree.Lookups) }},
	{xfsDesc("block_map_btree_compares", "Compares in the block map B-tree."), func(s *xfs.Stats) float64 { return float64(s.BlockMapBTree.Compares) }},
	{xfsDesc("block_map_btree_records_inserted", "Records put into the block map B-tree."), func(s *xfs.Stats) float64 { return float64(s.BlockMapBTree.RecordsInserted) }},
	{xfsDesc("block_map_btree_records_deleted", "Records taken from the block map B-tree."), func(s *xfs.Stats) float64 { return float64(s.BlockMapBTree.RecordsDeleted) }},
	{xfsDesc("directory_operation_lookup", "Name lookups that the kernel's cache did not answer."), func(s *xfs.Stats) float64 { return float64(s.DirectoryOperation.Lookups) }},
	{xfsDesc("directory_operation_create", "Directory entries created."), func(s *xfs.Stats) float64 { return float64(s.DirectoryOperation.Creates) }},
	{xfsDesc("directory_operation_remove", "Directory entries removed."), func(s *xfs.Stats) float64 { return float64(s.DirectoryOperation.Removes) }},
	{xfsDesc("directory_operation_getdents", "Directory listings."), func(s *xfs.Stats) float64 { return float64(s.DirectoryOperation.Getdents) }},
	{xfsDesc("inode_operation_attempts", "Lookups in the inode cache."), func(s *xfs.Stats) float64 { return float64(s.InodeOperation.Attempts) }},
	{xfsDesc("inode_operation_found", "Lookups that found the inode."), func(s *xfs.Stats) float64 { return float64(s.InodeOperation.Found) }},
	{xfsDesc("inode_operation_recycled", "Lookups that found an inode about to be recycled."), func(s *xfs.Stats) float64 { return float64(s.InodeOperation.Recycle) }},
	{xfsDesc("inode_operation_missed", "Lookups that did not find the inode."), func(s *xfs.Stats) float64 { return float64(s.InodeOperation.Missed) }},
	{xfsDesc("inode_operation_duplicates", "Missing inodes that another process had added meanwhile."), func(s *xfs.Stats) float64 { return float64(s.InodeOperation.Duplicate) }},
	{xfsDesc("inode_operation_reclaims", "Inodes reclaimed for their memory."), func(s *xfs.Stats) float64 { return float64(s.InodeOperation.Reclaims) }},
	{xfsDesc("inode_operation_attribute_changes", "Changes of inode attributes."), func(s *xfs.Stats) float64 { return float64(s.InodeOperation.AttributeChange) }},
	{xfsDesc("read_calls", "Calls of read."), func(s *xfs.Stats) float64 { return float64(s.ReadWrite.Read) }},
	{xfsDesc("write_calls", "Calls of write."), func(s *xfs.Stats) float64 { return float64(s.ReadWrite.Write) }},
	{xfsDesc("vnode_active", "Vnodes in use."), func(s *xfs.Stats) float64 { return float64(s.Vnode.Active) }},
	{xfsDesc("vnode_allocate", "Vnodes allocated."), func(s *xfs.Stats) float64 { return float64(s.Vnode.Allocate) }},
	{xfsDesc("vnode_get", "Calls of vn_get."), func(s *xfs.Stats) float64 { return float64(s.Vnode.Get) }},
	{xfsDesc("vnode_hold", "Calls of vn_hold."), func(s *xfs.Stats) float64 { return float64(s.Vnode.Hold) }},
	{xfsDesc("vnode_release", "Calls of vn_rele."), func(s *xfs.Stats) float64 { return float64(s.Vnode.Release) }},
	{xfsDesc("vnode_reclaim", "Calls of vn_reclaim."), func(s *xfs.Stats) float64 { return float64(s.Vnode.Reclaim) }},
	{xfsDesc("vnode_remove", "Calls of vn_remove."), func(s *xfs.Stats) float64 { return float64(s.Vnode.Remove) }},
}

func xfsDesc(name, help string) *metric.Desc {
	return &metric.Desc{Name: "node_xfs_" + name + "_total", Help: help, Type: metric.Counter, Labels: []string{"device"}}
}

// openXFS gives sysfs in place of procfs too, whose global counters are not read.
func openXFS(sys string) (xfs.FS, error) { return xfs.NewFS(sys, sys) }

// collectXFS reads /sys/fs/xfs/*/stats/stats.
func collectXFS(fs xfs.FS, out *metric.Set) error {
	stats, err := fs.SysStats()
	if err != nil {
		return fmt.Errorf("read XFS statistics: %w", err)
	}
	for _, s := range stats {
		addRows(out, xfsParts, s, s.Name)
	}
	return nil
}
