package web

import (
	"fmt"
	"slices"
	"strings"
)

// NoGPU says why there is none.
const NoGPU = "no card of NVIDIA (with its own driver), Intel or AMD is on the PCI bus"

// mediaServers are the probes of media servers.
var mediaServers = []string{"flussonic", "mediamtx", "srs", "tvheadend", "nginx_rtmp"}

// deviceKinds are the kinds of devices that somebody may expect, the probes that look for them, and why there is none where they
// have nothing to say about it.
var deviceKinds = []struct {
	kind   string
	probes []string
	none   string
}{
	{"GPU", []string{"gpu_nvidia", "gpu_intel", "gpu_amd"}, NoGPU},
	{"DVB", []string{"dvb"}, "none was found"},
	{"media server", mediaServers, "none answers on the usual ports; one that runs elsewhere or wants a password is named under probes:, like flussonic: [{url: ...}]"},
}

// missing tells for each kind of which nothing was found why that is so.
func (s *Status) missing() []Absent {
	var all []Absent
	for _, k := range deviceKinds {
		found := k.kind == "media server" && len(s.Servers) > 0 || slices.ContainsFunc(s.Devices, func(d Device) bool { return d.Kind == k.kind })
		if found {
			continue
		}
		var why []string
		for _, p := range s.Probes {
			if slices.Contains(k.probes, p.Name) {
				why = append(why, p.Absent...)
				if p.Error != "" {
					why = append(why, p.Name+" fails: "+p.Error)
				}
			}
		}
		for _, a := range s.Facts.Absent {
			if slices.Contains(k.probes, a.Name) && a.Reason == SwitchedOff {
				why = append(why, a.Name+" is "+a.Reason)
			}
		}
		if len(why) == 0 {
			why = append(why, k.none)
		}
		all = append(all, Absent{k.kind, strings.Join(why, "; ")})
	}
	return all
}

func gpus(r readings) []Device {
	var all []Device
	for _, x := range r["headend_gpu_up"] {
		id := x.labels.Get("gpu")
		d := Device{Kind: "GPU", Name: strings.TrimSpace(id + " " + x.labels.Get("pci")), State: "ok"}
		for _, info := range r["headend_gpu_info"] {
			if info.labels.Get("pci") == x.labels.Get("pci") {
				d.Detail = append(d.Detail, info.labels.Get("name"))
			}
		}
		if x.value != 1 {
			d.State, d.Detail = "trouble", append(d.Detail, "is on the bus and does not answer")
			d.fix = "dmesg says what its driver met; after an update of the driver: reboot"
		}
		for _, f := range []struct{ name, format string }{
			{"flussonic_gpu_enc", "encoder %.0f %%"}, {"flussonic_gpu_dec", "decoder %.0f %%"}, {"flussonic_gpu_temp", "%.0f °C"},
		} {
			if v := r.one(f.name, "gpu", id); v != nil {
				d.Detail = append(d.Detail, fmt.Sprintf(f.format, *v))
			}
		}
		all = append(all, d)
	}
	return all
}

func frontends(r readings) []Device {
	var all []Device
	for _, x := range r["headend_dvb_frontend_info"] {
		adapter, frontend := x.labels.Get("adapter"), x.labels.Get("frontend")
		of := func(name string) *float64 { return r.one(name, "adapter", adapter, "frontend", frontend) }
		d := Device{Kind: "DVB", Name: "adapter " + adapter + ", frontend " + frontend, State: "ok"}
		if name := x.labels.Get("name"); name != "" {
			d.Detail = append(d.Detail, name)
		}
		inUse, up, locked := of("headend_dvb_frontend_in_use"), of("headend_dvb_frontend_up"), of("headend_dvb_frontend_locked")
		switch {
		case inUse == nil:
			d.State, d.Detail = "trouble", append(d.Detail, "nobody can tell whether it is in use")
		case *inUse == 0:
			d.State, d.Detail = "idle", append(d.Detail, "nobody uses it")
		case up != nil && *up == 0:
			d.State, d.Detail, d.fix = "trouble", append(d.Detail, "cannot be read"), "headend-agent doctor says why"
		case locked != nil && *locked == 0:
			d.State, d.Detail, d.fix = "trouble", append(d.Detail, "no lock"), "its cable, its dish, the transponder's settings"
		case locked != nil:
			d.Detail = append(d.Detail, "locked")
		}
		for _, f := range []struct{ name, format string }{
			{"headend_dvb_frontend_signal_strength_dbm", "%.0f dBm"}, {"headend_dvb_frontend_cnr_decibels", "C/N %.1f dB"}, {"flussonic_dvb_card_strength", "strength %.0f %%"},
		} {
			if v := of(f.name); v != nil {
				d.Detail = append(d.Detail, fmt.Sprintf(f.format, *v))
			}
		}
		all = append(all, d)
	}
	return all
}
