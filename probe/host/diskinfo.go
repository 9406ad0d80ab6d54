package host

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/procfs/blockdevice"

	"headend-agent/internal/metric"
)

var (
	diskInfo = &metric.Desc{Name: "node_disk_info", Help: "What the kernel and udev say of the device, value 1.", Type: metric.Gauge,
		Labels: []string{"device", "major", "minor", "path", "wwn", "model", "serial", "revision", "rotational"}}
	diskFilesystem = &metric.Desc{Name: "node_disk_filesystem_info", Help: "File system on the device, value 1.", Type: metric.Gauge,
		Labels: []string{"device", "type", "usage", "uuid", "version"}}
	diskMapper = &metric.Desc{Name: "node_disk_device_mapper_info", Help: "Volume that the device mapper shows as the device, value 1.", Type: metric.Gauge,
		Labels: []string{"device", "name", "uuid", "vg_name", "lv_name", "lv_layer"}}

	diskATA = []struct {
		property string
		desc     *metric.Desc
	}{
		{"ID_ATA_WRITE_CACHE", &metric.Desc{Name: "node_disk_ata_write_cache", Help: "Whether the disk has a write cache.", Type: metric.Gauge, Labels: byDevice}},
		{"ID_ATA_WRITE_CACHE_ENABLED", &metric.Desc{Name: "node_disk_ata_write_cache_enabled", Help: "Whether the disk's write cache is on.", Type: metric.Gauge, Labels: byDevice}},
		{"ID_ATA_ROTATION_RATE_RPM", &metric.Desc{Name: "node_disk_ata_rotation_rate_rpm", Help: "Rotation rate; 0 of an SSD.", Type: metric.Gauge, Unit: metric.RPM, Labels: byDevice}},
	}
	diskInfoDescs = []*metric.Desc{diskInfo, diskFilesystem, diskMapper, diskATA[0].desc, diskATA[1].desc, diskATA[2].desc}
)

// diskInfos knows what devices are: from /sys/block/DEVICE/queue/rotational and from udev's data. Both are read when a
// device appears and when udev has written anew.
type diskInfos struct {
	fs    blockdevice.FS
	udev  string // udev's folder of data
	known map[blockdevice.Info]*diskProperties
	buf   []byte
}

type diskProperties struct {
	path    string // of udev's file
	written time.Time
	run     int

	info, filesystem, mapper []string // label values; nil: none
	ata                      []float64
	hasATA                   []bool
}

func newDiskInfos(fs blockdevice.FS, udev string) *diskInfos {
	return &diskInfos{fs: fs, udev: udev, known: map[blockdevice.Info]*diskProperties{}}
}

func (p *diskInfos) add(out *metric.Set, d blockdevice.Info, run int) {
	k := p.known[d]
	var written time.Time
	if k == nil {
		k = &diskProperties{path: filepath.Join(p.udev, "b"+number(d.MajorNumber)+":"+number(d.MinorNumber))}
		p.known[d] = k
	}
	if s, err := os.Stat(k.path); err == nil {
		written = s.ModTime()
	}
	if k.info == nil || !written.Equal(k.written) {
		k.written = written
		p.load(k, d)
	}
	k.run = run
	out.Add(diskInfo, 1, k.info...)
	if k.filesystem != nil {
		out.Add(diskFilesystem, 1, k.filesystem...)
	}
	if k.mapper != nil {
		out.Add(diskMapper, 1, k.mapper...)
	}
	for i, a := range diskATA {
		if k.hasATA[i] {
			out.Add(a.desc, k.ata[i], d.DeviceName)
		}
	}
}

func (p *diskInfos) forget(run int) {
	for d, k := range p.known {
		if k.run != run {
			delete(p.known, d)
		}
	}
}

// load reads a device's properties. What cannot be read is empty: containers have no udev.
func (p *diskInfos) load(k *diskProperties, d blockdevice.Info) {
	var err error
	var udev map[string]string
	if p.buf, err = readFile(k.path, p.buf); err == nil {
		udev = parseUdev(p.buf)
	}
	rotational := "0"
	if n, err := p.fs.SysBlockDeviceRotational(d.DeviceName); err == nil && n == 1 {
		rotational = "1"
	}
	serial := udev["SCSI_IDENT_SERIAL"]
	for _, other := range []string{"ID_SERIAL_SHORT", "ID_SERIAL"} { // as printed on the disk, or what comes closest
		if serial == "" {
			serial = udev[other]
		}
	}
	k.info = []string{d.DeviceName, number(d.MajorNumber), number(d.MinorNumber),
		udev["ID_PATH"], udev["ID_WWN"], udev["ID_MODEL"], serial, udev["ID_REVISION"], rotational}
	k.filesystem, k.mapper = nil, nil
	if t := udev["ID_FS_TYPE"]; t != "" {
		k.filesystem = []string{d.DeviceName, t, udev["ID_FS_USAGE"], udev["ID_FS_UUID"], udev["ID_FS_VERSION"]}
	}
	if n := udev["DM_NAME"]; n != "" {
		k.mapper = []string{d.DeviceName, n, udev["DM_UUID"], udev["DM_VG_NAME"], udev["DM_LV_NAME"], udev["DM_LV_LAYER"]}
	}
	k.ata, k.hasATA = make([]float64, len(diskATA)), make([]bool, len(diskATA))
	for i, a := range diskATA {
		v, err := strconv.ParseFloat(udev[a.property], 64)
		k.ata[i], k.hasATA[i] = v, err == nil && udev["ID_ATA"] != ""
	}
}

// parseUdev returns the properties of a device: the lines E:NAME=VALUE of its file.
func parseUdev(data []byte) map[string]string {
	props := map[string]string{}
	for line := range bytes.Lines(data) {
		if line, ok := bytes.CutPrefix(bytes.TrimSuffix(line, []byte{'\n'}), []byte("E:")); ok {
			if name, value, ok := bytes.Cut(line, []byte{'='}); ok {
				props[string(name)] = string(value)
			}
		}
	}
	return props
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
