//go:build linux && cgo && !nonvml

package nvmlchild

import (
	"encoding/binary"
	"math"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// fields are readings that have no function of their own. Times are nanoseconds since the driver was loaded.
var fields = []struct {
	id  uint32
	key string
}{
	{nvml.FI_DEV_MEMORY_TEMP, "temp_memory"},
	{nvml.FI_DEV_PCIE_COUNT_TX_BYTES, "pcie_tx"},
	{nvml.FI_DEV_PCIE_COUNT_RX_BYTES, "pcie_rx"},
	{nvml.FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP, "throttled_power"},
	{nvml.FI_DEV_CLOCKS_EVENT_REASON_SYNC_BOOST, "throttled_sync_boost"},
	{nvml.FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN, "throttled_thermal"},
	{nvml.FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN, "throttled_hardware_thermal"},
	{nvml.FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN, "throttled_power_brake"},
}

func readFields(d *driver, g *gpu) nvml.Return {
	values := make([]nvml.FieldValue, len(fields))
	for i, f := range fields {
		values[i].FieldId = f.id
	}
	if code := g.dev.GetFieldValues(values); code != nvml.SUCCESS {
		return code
	}
	for i, f := range fields {
		v := &values[i]
		code := nvml.Return(v.NvmlReturn)
		d.failed("GetFieldValues", code)
		if code == nvml.SUCCESS {
			if x, ok := number(nvml.ValueType(v.ValueType), v.Value); ok {
				g.readings[f.key] = x
			}
		}
	}
	return nvml.SUCCESS
}

// number reads an nvmlValue_t.
func number(kind nvml.ValueType, b [8]byte) (float64, bool) {
	u := binary.LittleEndian.Uint64(b[:])
	switch kind {
	case nvml.VALUE_TYPE_DOUBLE:
		f := math.Float64frombits(u)
		return f, !math.IsNaN(f) && !math.IsInf(f, 0)
	case nvml.VALUE_TYPE_UNSIGNED_INT:
		return float64(uint32(u)), true
	case nvml.VALUE_TYPE_UNSIGNED_LONG, nvml.VALUE_TYPE_UNSIGNED_LONG_LONG:
		return float64(u), true
	case nvml.VALUE_TYPE_SIGNED_LONG_LONG:
		return float64(int64(u)), true
	case nvml.VALUE_TYPE_SIGNED_INT:
		return float64(int32(u)), true
	case nvml.VALUE_TYPE_UNSIGNED_SHORT:
		return float64(uint16(u)), true
	}
	return 0, false
}
