package host

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"syscall"
	"unsafe"
)

// btrfsErrorTypes are the counters of BTRFS_IOC_GET_DEV_STATS, in its order.
var btrfsErrorTypes = [...]string{"write", "read", "flush", "corruption", "generation"}

// btrfsDevice is one device of a file system: sizes in bytes, errors by btrfsErrorTypes.
type btrfsDevice struct {
	path, uuid string
	size, used uint64
	errors     [len(btrfsErrorTypes)]uint64
}

// The structures and numbers of include/uapi/linux/btrfs.h.
type (
	btrfsFSInfo struct {
		maxID, devices uint64
		fsid           [16]byte
		_              [1024 - 32]byte
	}
	btrfsDevInfo struct {
		id         uint64
		uuid       [16]byte
		used, size uint64
		_          [4096 - 1024 - 40]byte
		path       [1024]byte
	}
	btrfsDevStats struct {
		id, items, flags uint64
		values           [len(btrfsErrorTypes)]uint64
		_                [121]uint64
	}
)

const (
	ioctlRead      = 2 << 30
	ioctlReadWrite = 3 << 30
	btrfsMagic     = 0x94 << 8

	btrfsIocFSInfo      = ioctlRead | unsafe.Sizeof(btrfsFSInfo{})<<16 | btrfsMagic | 31
	btrfsIocDevInfo     = ioctlReadWrite | unsafe.Sizeof(btrfsDevInfo{})<<16 | btrfsMagic | 30
	btrfsIocGetDevStats = ioctlReadWrite | unsafe.Sizeof(btrfsDevStats{})<<16 | btrfsMagic | 52

	btrfsMaxDevices = 1024 // looked at, far beyond real ones
)

// btrfsDevices asks the file system mounted at dir for its id, 32 hexadecimal digits, and its devices.
func btrfsDevices(dir string) (id string, devices []btrfsDevice, err error) {
	fd, err := syscall.Open(dir, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("open %s: %w", dir, err)
	}
	defer syscall.Close(fd)
	var info btrfsFSInfo
	if err := ioctl(fd, btrfsIocFSInfo, unsafe.Pointer(&info)); err != nil {
		return "", nil, fmt.Errorf("ask %s for its file system: %w", dir, err)
	}
	for n := uint64(0); n <= min(info.maxID, btrfsMaxDevices) && uint64(len(devices)) < info.devices; n++ {
		dev := btrfsDevInfo{id: n}
		err := ioctl(fd, btrfsIocDevInfo, unsafe.Pointer(&dev))
		if err == syscall.ENODEV {
			continue // numbers have gaps
		}
		if err != nil {
			return "", nil, fmt.Errorf("ask %s for device %d: %w", dir, n, err)
		}
		stats := btrfsDevStats{id: n, items: uint64(len(btrfsErrorTypes))}
		if err := ioctl(fd, btrfsIocGetDevStats, unsafe.Pointer(&stats)); err != nil {
			return "", nil, fmt.Errorf("ask %s for the errors of device %d: %w", dir, n, err)
		}
		path, _, _ := bytes.Cut(dev.path[:], []byte{0})
		devices = append(devices, btrfsDevice{path: string(path), uuid: formatUUID(dev.uuid), size: dev.size, used: dev.used, errors: stats.values})
	}
	return hex.EncodeToString(info.fsid[:]), devices, nil
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

func formatUUID(b [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
