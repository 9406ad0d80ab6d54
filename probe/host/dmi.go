package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// dmiParts pairs labels with the files' content, nil where the firmware or the kernel keeps it back.
var dmiParts = []struct {
	label string
	value func(*sysfs.DMIClass) *string
}{
	{"bios_date", func(d *sysfs.DMIClass) *string { return d.BiosDate }},
	{"bios_release", func(d *sysfs.DMIClass) *string { return d.BiosRelease }},
	{"bios_vendor", func(d *sysfs.DMIClass) *string { return d.BiosVendor }},
	{"bios_version", func(d *sysfs.DMIClass) *string { return d.BiosVersion }},
	{"board_asset_tag", func(d *sysfs.DMIClass) *string { return d.BoardAssetTag }},
	{"board_name", func(d *sysfs.DMIClass) *string { return d.BoardName }},
	{"board_serial", func(d *sysfs.DMIClass) *string { return d.BoardSerial }},
	{"board_vendor", func(d *sysfs.DMIClass) *string { return d.BoardVendor }},
	{"board_version", func(d *sysfs.DMIClass) *string { return d.BoardVersion }},
	{"chassis_asset_tag", func(d *sysfs.DMIClass) *string { return d.ChassisAssetTag }},
	{"chassis_serial", func(d *sysfs.DMIClass) *string { return d.ChassisSerial }},
	{"chassis_vendor", func(d *sysfs.DMIClass) *string { return d.ChassisVendor }},
	{"chassis_version", func(d *sysfs.DMIClass) *string { return d.ChassisVersion }},
	{"product_family", func(d *sysfs.DMIClass) *string { return d.ProductFamily }},
	{"product_name", func(d *sysfs.DMIClass) *string { return d.ProductName }},
	{"product_serial", func(d *sysfs.DMIClass) *string { return d.ProductSerial }},
	{"product_sku", func(d *sysfs.DMIClass) *string { return d.ProductSKU }},
	{"product_uuid", func(d *sysfs.DMIClass) *string { return d.ProductUUID }},
	{"product_version", func(d *sysfs.DMIClass) *string { return d.ProductVersion }},
	{"system_vendor", func(d *sysfs.DMIClass) *string { return d.SystemVendor }},
}

var (
	dmiInfo  = &metric.Desc{Name: "node_dmi_info", Help: "What the firmware says about the machine, always 1.", Type: metric.Gauge, Labels: dmiLabels()}
	dmiDescs = []*metric.Desc{dmiInfo}
)

func dmiLabels() (ls []string) {
	for _, p := range dmiParts {
		ls = append(ls, p.label)
	}
	return ls
}

// dmi reads /sys/class/dmi/id, which is the same until the next boot, once.
type dmi struct {
	fs     sysfs.FS
	values []string
}

func newDMI(_ func(any) error, env probe.Env) (probe.Probe, error) {
	fs, err := sysfs.NewFS(env.Sys)
	if err != nil {
		return nil, fmt.Errorf("open sysfs: %w", err)
	}
	return &dmi{fs: fs}, nil
}

func (p *dmi) Collect(_ context.Context, out *metric.Set) error {
	if p.values == nil {
		class, err := p.fs.DMIClass()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read DMI: %w", err)
		}
		p.values = make([]string, len(dmiParts))
		for i, part := range dmiParts {
			if v := part.value(class); v != nil {
				p.values[i] = *v
			}
		}
	}
	for _, v := range p.values {
		if v != "" {
			out.Add(dmiInfo, 1, p.values...)
			return nil
		}
	}
	return nil
}
