package dvb

import "headend-agent/internal/metric"

// labels are those of every frontend: its number, and the device it is part of with the adapter's position there.
var labels = []string{"adapter", "frontend", "path", "port"}

func gauge(name, help string, unit metric.Unit, more ...string) *metric.Desc {
	return &metric.Desc{Name: "headend_dvb_" + name, Help: help, Type: metric.Gauge, Unit: unit, Labels: append(labels[:len(labels):len(labels)], more...)}
}

func counter(name, help string, more ...string) *metric.Desc {
	d := gauge(name, help, metric.None, more...)
	d.Type = metric.Counter
	return d
}

var (
	cardStrength = &metric.Desc{Name: "flussonic_dvb_card_strength", Help: "Signal strength as the driver's API version 3 tells it, percent of its range.",
		Type: metric.Gauge, Unit: metric.Percent, Labels: []string{"adapter", "frontend", "name"}}
	adaptersDesc = &metric.Desc{Name: "headend_dvb_adapters", Help: "DVB adapters with a frontend.", Type: metric.Gauge}

	infoDesc     = gauge("frontend_info", "A frontend, always 1; its name and systems are known once it has been in use.", metric.None, "name", "driver", "systems")
	inUseDesc    = gauge("frontend_in_use", "1 if somebody has the frontend open for tuning. Others are not touched.", metric.None)
	upDesc       = gauge("frontend_up", "1 if the frontend, being in use, was read without an error.", metric.None)
	errorsDesc   = counter("frontend_errors_total", "Readings that failed, and implausible values that were dropped.", "reason")
	durationDesc = gauge("frontend_read_duration_seconds", "How long it took to read the frontend.", metric.Seconds)
	statusDesc   = gauge("frontend_status", "The frontend's status flags.", metric.None, "flag")
	lockedDesc   = gauge("frontend_locked", "1 if the frontend has a lock.", metric.None)
	frequency    = gauge("frontend_frequency_hertz", "Frequency tuned to; for satellites the intermediate one, behind the LNB.", metric.Hertz, "system")
)

// scaled is a level, by whichever scale the driver uses.
type scaled struct {
	stat            int // place in statCommands
	decibels, ratio *metric.Desc
	low, high       float64 // what is plausible in decibels
}

var levels = []scaled{
	{strengthStat,
		gauge("frontend_signal_strength_dbm", "Signal strength, while locked.", metric.DBm),
		gauge("frontend_signal_strength_ratio", "Signal strength as part of the driver's range, while locked.", metric.Ratio), -150, 30},
	{cnrStat,
		gauge("frontend_cnr_decibels", "Ratio of carrier to noise, while locked.", metric.Decibels),
		gauge("frontend_cnr_ratio", "Ratio of carrier to noise as part of the driver's range, while locked.", metric.Ratio), -20, 100},
}

// counted pairs the other statistics with their families.
var counted = []struct {
	stat int
	desc *metric.Desc
}{
	{preErrorStat, counter("frontend_pre_fec_bit_errors_total", "Bit errors before the inner error correction.")},
	{preTotalStat, counter("frontend_pre_fec_bits_total", "Bits before the inner error correction.")},
	{postErrorStat, counter("frontend_post_fec_bit_errors_total", "Bit errors after the inner error correction.")},
	{postTotalStat, counter("frontend_post_fec_bits_total", "Bits after the inner error correction.")},
	{errorBlockStat, counter("frontend_block_errors_total", "Blocks that could not be corrected.")},
	{totalBlockStat, counter("frontend_blocks_total", "Blocks received.")},
}

var (
	rawStrength    = gauge("frontend_v3_strength_raw", "Signal strength by API version 3, in the driver's own unit; only where there is no other.", metric.None)
	rawSNR         = gauge("frontend_v3_snr_raw", "Signal-to-noise ratio by API version 3, in the driver's own unit; only where there is no other.", metric.None)
	rawBER         = gauge("frontend_v3_ber_raw", "Bit error rate by API version 3, in the driver's own unit; only where there are no bit counts.", metric.None)
	rawUncorrected = gauge("frontend_v3_uncorrected_raw", "Uncorrected blocks by API version 3, by the driver's own count; only where there is no other.", metric.None)
)

func descs() []*metric.Desc {
	all := []*metric.Desc{cardStrength, adaptersDesc, infoDesc, inUseDesc, upDesc, errorsDesc, durationDesc, statusDesc, lockedDesc, frequency}
	for _, l := range levels {
		all = append(all, l.decibels, l.ratio)
	}
	for _, c := range counted {
		all = append(all, c.desc)
	}
	return append(all, rawStrength, rawSNR, rawBER, rawUncorrected)
}
