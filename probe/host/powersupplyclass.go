package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"github.com/prometheus/procfs/sysfs"

	"headend-agent/internal/metric"
	"headend-agent/probe"
)

// PowerSupplyConfig is the section "powersupplyclass".
type PowerSupplyConfig struct {
	IgnoredSupplies string `yaml:"ignored_supplies"` // regular expression over the supply's name; empty ignores none
}

type supplyParts = []optional[sysfs.PowerSupply, int64]

var supplyPlain = supplyParts{
	{supplyDesc("authentic", "Whether the supply is genuine.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.Authentic }},
	{supplyDesc("calibrate", "Whether the battery is being calibrated.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.Calibrate }},
	{supplyDesc("capacity", "Charge in percent of the full one.", metric.Percent), func(s *sysfs.PowerSupply) *int64 { return s.Capacity }},
	{supplyDesc("capacity_alert_max", "Charge in percent above which an alert comes.", metric.Percent), func(s *sysfs.PowerSupply) *int64 { return s.CapacityAlertMax }},
	{supplyDesc("capacity_alert_min", "Charge in percent below which an alert comes.", metric.Percent), func(s *sysfs.PowerSupply) *int64 { return s.CapacityAlertMin }},
	{supplyDesc("cyclecount", "Charge cycles so far.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.CycleCount }},
	{supplyDesc("online", "Whether the supply feeds the machine.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.Online }},
	{supplyDesc("present", "Whether the battery is there.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.Present }},
	{supplyDesc("time_to_empty_seconds", "Time until the battery is empty.", metric.Seconds), func(s *sysfs.PowerSupply) *int64 { return s.TimeToEmptyNow }},
	{supplyDesc("time_to_full_seconds", "Time until the battery is full.", metric.Seconds), func(s *sysfs.PowerSupply) *int64 { return s.TimeToFullNow }},
}

// supplyMicro holds what the kernel gives in millionths.
var supplyMicro = supplyParts{
	{supplyDesc("current_boot", "Current at boot, in amperes.", metric.Amperes), func(s *sysfs.PowerSupply) *int64 { return s.CurrentBoot }},
	{supplyDesc("current_max", "Highest current, in amperes.", metric.Amperes), func(s *sysfs.PowerSupply) *int64 { return s.CurrentMax }},
	{supplyDesc("current_ampere", "Current.", metric.Amperes), func(s *sysfs.PowerSupply) *int64 { return s.CurrentNow }},
	{supplyDesc("energy_empty", "Energy when empty, in watt-hours.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.EnergyEmpty }},
	{supplyDesc("energy_empty_design", "Energy when empty by design, in watt-hours.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.EnergyEmptyDesign }},
	{supplyDesc("energy_full", "Energy when full, in watt-hours.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.EnergyFull }},
	{supplyDesc("energy_full_design", "Energy when full by design, in watt-hours.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.EnergyFullDesign }},
	{supplyDesc("energy_watthour", "Energy left, in watt-hours.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.EnergyNow }},
	{supplyDesc("voltage_boot", "Voltage at boot.", metric.Volts), func(s *sysfs.PowerSupply) *int64 { return s.VoltageBoot }},
	{supplyDesc("voltage_max", "Highest voltage.", metric.Volts), func(s *sysfs.PowerSupply) *int64 { return s.VoltageMax }},
	{supplyDesc("voltage_max_design", "Highest voltage by design.", metric.Volts), func(s *sysfs.PowerSupply) *int64 { return s.VoltageMaxDesign }},
	{supplyDesc("voltage_min", "Lowest voltage.", metric.Volts), func(s *sysfs.PowerSupply) *int64 { return s.VoltageMin }},
	{supplyDesc("voltage_min_design", "Lowest voltage by design.", metric.Volts), func(s *sysfs.PowerSupply) *int64 { return s.VoltageMinDesign }},
	{supplyDesc("voltage_volt", "Voltage.", metric.Volts), func(s *sysfs.PowerSupply) *int64 { return s.VoltageNow }},
	{supplyDesc("voltage_ocv", "Voltage without load.", metric.Volts), func(s *sysfs.PowerSupply) *int64 { return s.VoltageOCV }},
	{supplyDesc("charge_control_limit", "Limit set on the charging current, in amperes.", metric.Amperes), func(s *sysfs.PowerSupply) *int64 { return s.ChargeControlLimit }},
	{supplyDesc("charge_control_limit_max", "Highest limit of the charging current, in amperes.", metric.Amperes), func(s *sysfs.PowerSupply) *int64 { return s.ChargeControlLimitMax }},
	{supplyDesc("charge_counter", "Charge counter, in ampere-hours.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.ChargeCounter }},
	{supplyDesc("charge_empty", "Charge when empty, in ampere-hours.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.ChargeEmpty }},
	{supplyDesc("charge_empty_design", "Charge when empty by design, in ampere-hours.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.ChargeEmptyDesign }},
	{supplyDesc("charge_full", "Charge when full, in ampere-hours.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.ChargeFull }},
	{supplyDesc("charge_full_design", "Charge when full by design, in ampere-hours.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.ChargeFullDesign }},
	{supplyDesc("charge_ampere", "Charge left, in ampere-hours.", metric.None), func(s *sysfs.PowerSupply) *int64 { return s.ChargeNow }},
	{supplyDesc("charge_term_current", "Current at which charging ends, in amperes.", metric.Amperes), func(s *sysfs.PowerSupply) *int64 { return s.ChargeTermCurrent }},
	{supplyDesc("constant_charge_current", "Constant charging current, in amperes.", metric.Amperes), func(s *sysfs.PowerSupply) *int64 { return s.ConstantChargeCurrent }},
	{supplyDesc("constant_charge_current_max", "Highest constant charging current, in amperes.", metric.Amperes), func(s *sysfs.PowerSupply) *int64 { return s.ConstantChargeCurrentMax }},
	{supplyDesc("constant_charge_voltage", "Constant charging voltage.", metric.Volts), func(s *sysfs.PowerSupply) *int64 { return s.ConstantChargeVoltage }},
	{supplyDesc("constant_charge_voltage_max", "Highest constant charging voltage.", metric.Volts), func(s *sysfs.PowerSupply) *int64 { return s.ConstantChargeVoltageMax }},
	{supplyDesc("precharge_current", "Precharge current, in amperes.", metric.Amperes), func(s *sysfs.PowerSupply) *int64 { return s.PrechargeCurrent }},
	{supplyDesc("input_current_limit", "Limit of the input current, in amperes.", metric.Amperes), func(s *sysfs.PowerSupply) *int64 { return s.InputCurrentLimit }},
	{supplyDesc("power_watt", "Power.", metric.Watts), func(s *sysfs.PowerSupply) *int64 { return s.PowerNow }},
}

// supplyTenths holds temperatures, which the kernel gives in tenths of a degree.
var supplyTenths = supplyParts{
	{supplyDesc("temp_celsius", "Temperature.", metric.Celsius), func(s *sysfs.PowerSupply) *int64 { return s.Temp }},
	{supplyDesc("temp_alert_max_celsius", "Temperature above which an alert comes.", metric.Celsius), func(s *sysfs.PowerSupply) *int64 { return s.TempAlertMax }},
	{supplyDesc("temp_alert_min_celsius", "Temperature below which an alert comes.", metric.Celsius), func(s *sysfs.PowerSupply) *int64 { return s.TempAlertMin }},
	{supplyDesc("temp_ambient_celsius", "Temperature around.", metric.Celsius), func(s *sysfs.PowerSupply) *int64 { return s.TempAmbient }},
	{supplyDesc("temp_ambient_max_celsius", "Highest temperature around.", metric.Celsius), func(s *sysfs.PowerSupply) *int64 { return s.TempAmbientMax }},
	{supplyDesc("temp_ambient_min_celsius", "Lowest temperature around.", metric.Celsius), func(s *sysfs.PowerSupply) *int64 { return s.TempAmbientMin }},
	{supplyDesc("temp_max_celsius", "Highest temperature.", metric.Celsius), func(s *sysfs.PowerSupply) *int64 { return s.TempMax }},
	{supplyDesc("temp_min_celsius", "Lowest temperature.", metric.Celsius), func(s *sysfs.PowerSupply) *int64 { return s.TempMin }},
}

var (
	supplyInfo = &metric.Desc{Name: "node_power_supply_info", Help: "What the power supply is, always 1.", Type: metric.Gauge,
		Labels: []string{"power_supply", "capacity_level", "charge_type", "health", "manufacturer", "model_name", "serial_number",
			"status", "technology", "type", "usb_type", "scope"}}
	supplyDescs = append(slices.Concat(optionalDescs(supplyPlain), optionalDescs(supplyMicro), optionalDescs(supplyTenths)), supplyInfo)
)

func supplyDesc(name, help string, unit metric.Unit) *metric.Desc {
	return &metric.Desc{Name: "node_power_supply_" + name, Help: help, Type: metric.Gauge, Unit: unit, Labels: []string{"power_supply"}}
}

// powerSupplies reads /sys/class/power_supply.
type powerSupplies struct {
	fs      sysfs.FS
	ignored *regexp.Regexp // nil: none
}

func newPowerSupplies(decode func(any) error, env probe.Env) (probe.Probe, error) {
	cfg := PowerSupplyConfig{IgnoredSupplies: "^$"}
	if err := decode(&cfg); err != nil {
		return nil, err
	}
	fs, err := sysfs.NewFS(env.Sys)
	if err != nil {
		return nil, fmt.Errorf("open sysfs: %w", err)
	}
	p := powerSupplies{fs: fs}
	if cfg.IgnoredSupplies != "" {
		if p.ignored, err = regexp.Compile(cfg.IgnoredSupplies); err != nil {
			return nil, fmt.Errorf("ignored_supplies: %w", err)
		}
	}
	return p, nil
}

func (p powerSupplies) Collect(_ context.Context, out *metric.Set) error {
	class, err := p.fs.PowerSupplyClass()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read power supplies: %w", err)
	}
	for _, name := range sortedKeys(class) {
		if p.ignored != nil && p.ignored.MatchString(name) {
			continue
		}
		s := class[name]
		addOptionals(out, supplyPlain, &s, 1, name)
		addOptionals(out, supplyMicro, &s, 1e6, name)
		addOptionals(out, supplyTenths, &s, 10, name)
		out.Add(supplyInfo, 1, name, s.CapacityLevel, s.ChargeType, s.Health, s.Manufacturer, s.ModelName, s.SerialNumber,
			s.Status, s.Technology, s.Type, s.UsbType, s.Scope)
	}
	return nil
}
