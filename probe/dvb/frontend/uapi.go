package frontend

import "unsafe"

// The ioctls of include/uapi/linux/dvb/frontend.h, in asm-generic's encoding: all that Go runs on but mips and ppc64.
const (
	iocRead = 2 << 30
	iocDVB  = 'o' << 8

	feGetInfo          = iocRead | unsafe.Sizeof(feInfo{})<<16 | iocDVB | 61
	feReadStatus       = iocRead | 4<<16 | iocDVB | 69
	feReadBER          = iocRead | 4<<16 | iocDVB | 70
	feReadStrength     = iocRead | 2<<16 | iocDVB | 71
	feReadSNR          = iocRead | 2<<16 | iocDVB | 72
	feReadUncorrected  = iocRead | 4<<16 | iocDVB | 73
	feGetProperty      = iocRead | unsafe.Sizeof(dtvProperties{})<<16 | iocDVB | 83 // "read", though the kernel reads the array too
	maxProperties      = 64                                                         // DTV_IOCTL_MAX_MSGS
	unionSize          = 48 + unsafe.Sizeof(uintptr(0))                             // of u in dtv_property: its member "buffer"
	bufferSize         = 32
	bufferLenAt        = 32
	statsSize, statsAt = 9, 1 // a packed dtv_stats, and the first one's place behind dtv_fe_stats.len
)

// feInfo is struct dvb_frontend_info.
type feInfo struct {
	name                                   [128]byte
	kind                                   uint32 // deprecated
	minFrequency, maxFrequency             uint32
	frequencyStep, frequencyTolerance      uint32
	minSymbolRate, maxSymbolRate           uint32
	symbolRateTolerance, notifyDelay, caps uint32
}

// dtvProperty is struct dtv_property. The kernel's is packed; this one has no gaps either. Its union is decoded byte by byte,
// as the 64-bit values in it are not aligned.
type dtvProperty struct {
	cmd      uint32
	reserved [3]uint32
	union    [unionSize]byte
	result   int32
}

// dtvProperties is struct dtv_properties.
type dtvProperties struct {
	num   uint32
	props *dtvProperty
}
