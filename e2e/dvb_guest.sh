#!/bin/bash
# Runs inside the virtual machine: installs the package, puts frontends into the machine, tunes them, and keeps what the agent says.
# dvb_test.go judges it. agent.deb and agent386 lie in the working folder; what is written to $VM_OUT comes back.
set -u
say() { echo "$(cut -d' ' -f1 /proc/uptime) s: $*"; }
fail() { say "FAILED: $*"; exit 1; }

once() { # name [program]: one run of the probe, and what strace saw of /dev/dvb
	strace -f -o strace.log -e trace=openat,ioctl "${2:-headend-agent}" probe dvb >"$VM_OUT/$1.metrics" 2>"$VM_OUT/$1.stderr" || fail "probe: $1"
	grep -E '/dev/dvb|FE_|0x6f' strace.log >"$VM_OUT/$1.strace"
}
tool() { timeout 30 dvb-fe-tool -a "$2" -m -c 1 >"$VM_OUT/$1.fe" 2>&1; }
page() { curl -s http://127.0.0.1:9105/metrics; }
runs() { page | sed -n 's/^headend_agent_probe_runs_total{.*probe="dvb".*} //p'; }
rounds() { # n: wait for that many rounds of the running agent, and for the page to show them
	local from now; from=$(runs)
	for _ in $(seq 300); do
		now=$(runs)
		[ -n "$now" ] && [ "$now" -ge $((${from:-0} + 1 + $1)) ] && return # it may have made one that the page does not count yet
		sleep 0.3
	done
	fail "the agent makes no rounds"
}
snap() { # name [rounds]: what the running agent shows after as many new rounds, and dvbsim's own counts
	rounds "${2:-2}"
	page >"$VM_OUT/$1.metrics"
	vm-dvb show >"$VM_OUT/$1.show" 2>/dev/null
	say "$1"
}
await() { # what pattern [0]: until the page has it, or with 0 has it no more
	local n
	for _ in $(seq 300); do
		n=$(page | grep -c "$2")
		[ "$((n > 0))" = "${3:-1}" ] && return
		sleep 0.3
	done
	fail "$1: the page does not change"
}
doctor() { # name property...: what the doctor says of tuners, in such a unit
	local name=$1; shift
	systemd-run --quiet --wait --pipe "$@" headend-agent doctor --config.file=/etc/empty.yml 2>&1 | grep -iA1 dvb >"$VM_OUT/$name.doctor"
}
tune() { timeout 60 vm-dvb tune "$@" || fail "tune $*"; }
set_() { vm-dvb set "$@" || fail "set $*"; }

echo '{}' >/etc/empty.yml
cat >flussonic.sh <<'SH'
read -r _ path _
while read -r line && [ "$line" != $'\r' ]; do :; done
case $path in
*/streams*) body='{"streams":[]}' ;;
*/dvb_cards*) body=$(cat cards.json) ;;
*) body='{}' ;;
esac
printf 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' ${#body} "$body"
SH
cards() { echo "{\"dvb_cards\":[$1]}" >cards.new && mv cards.new cards.json; }

say "the package, before any DVB module is loaded"
grep -c DVB /proc/devices >"$VM_OUT/before.devices"
dpkg -i agent.deb || fail "install the package"
cat >/etc/headend-agent/conf.d/test.yml <<'YML'
probes:
  agent: {interval: 1s}
  dvb: {interval: 2s, names: {adapter0.frontend0: "Roof, dish 1"}}
  flussonic: [{url: "http://127.0.0.1:8080", interval: 3s}]
YML
cards ''
systemd-run --quiet --unit=flussonic -p WorkingDirectory="$PWD" systemd-socket-activate --accept --inetd -l 127.0.0.1:8080 bash flussonic.sh || fail "the media server"
systemctl reload headend-agent || fail reload
await "reload" 'headend_stream_up{server="flussonic"} 1'
id headend-agent >"$VM_OUT/id"
cat /usr/lib/systemd/system/headend-agent.service >"$VM_OUT/unit"
doctor before -p User=headend-agent
snap before

say "vidtv, the kernel's own virtual driver"
vm-dvb vidtv max_frequency_shift_hz=200 || fail vidtv
once vidtv-idle
for c in GOOD FAIR WEAK NONE; do
	tune 0 $c
	once vidtv-$c
	tool vidtv-$c 0
done
tune 0 GOOD
once vidtv-386 ./agent386
snap vidtv 1
doctor tuned -p User=headend-agent
sandboxed() { # name property...: the probe and the doctor, with less than the unit leaves them
	local name=$1; shift
	systemd-run --quiet --wait --pipe "$@" headend-agent probe --config.file=/etc/empty.yml dvb >"$VM_OUT/$name.metrics" 2>"$VM_OUT/$name.stderr"
	doctor "$name" "$@"
}
sandboxed nogroup -p DynamicUser=yes
sandboxed policy -p User=headend-agent -p DevicePolicy=closed
sandboxed hidden -p User=headend-agent -p ProtectProc=invisible
vm-dvb free 0
once vidtv-left
doctor left -p User=headend-agent
vm-dvb off || fail off

say "dvbsim, eight adapters"
vm-dvb sim adapters=8 || fail dvbsim
snap idle
for a in 0 1 2 3; do tune $a GOOD; done
set_ "0.0 step_err=5" "1.0 strength_scale=2 strength=40000 cnr_scale=2 cnr=50000 v3_strength=-1" \
	"2.0 strength2=30000 cnr2=52000" "3.0 strength_scale=-1 cnr_scale=-1 counter_scale=-1"
cards '{"name":"a16","hw":"dvb","adapter":0,"frontend":0,"stats":{"strength":75,"has_lock":true}},
	{"name":"Astra 19.2E","hw":"dvb","adapter":1,"frontend":0,"stats":{"strength":61}},{"name":"ASI","hw":"dektec_asi","adapter":2,"frontend":0,"stats":{"strength":1}}'
await "names of cards" 'headend_server_dvb_.*Astra'
snap tuned
for a in 0 1 2 3; do tool sim-$a $a; done
snap tuned-later
set_ "0.0 cnr=999999 strength=-4294967000" "1.0 error=121" "2.0 error=11" "3.0 status=3"
snap broken
set_ "0.0 cnr=14500 strength=-45000" "1.0 error=0" "2.0 error=0" "3.0 status=0x1f"
pid=$(systemctl show -p MainPID --value headend-agent)
set_ "1.0 delay_ms=5000"
snap slow 3
ls -l /proc/"$pid"/fd | grep /dev/dvb >"$VM_OUT/slow.open"
set_ "1.0 delay_ms=0"
snap fast 5
set_ "unplug 2"
snap unplugged
systemctl reload headend-agent || fail reload
snap reloaded
cards ''
await "no cards" 'headend_server_dvb_' 0
set_ "plug 2"
tune 2 GOOD
snap replugged
for _ in $(seq 10); do # a reading may be under way for a moment
	ls -l /proc/"$pid"/fd | grep /dev/dvb >"$VM_OUT/replugged.open" || break
	sleep 0.1
done
vm-dvb free 0 || fail "free 0"
set_ "unplug 0" "unplug 5" "plug 5" # the kernel gives the lowest free number: 5 comes back as 0
tune 0 GOOD
snap renumbered
vm-dvb off || fail off

say "two adapters whose frontends exclude each other"
vm-dvb sim adapters=2 frontends=2 shared=1 || fail dvbsim
snap shared-idle
moves() { # name: the tuner goes from one frontend to the other and back, twice
	local at from result
	for at in 0.0 0.1 0.0 0.1; do
		from=$(date +%s%N)
		timeout 60 vm-dvb tune $at GOOD && result=opened || result=refused
		echo "$at $result $((($(date +%s%N) - from) / 1000000))" >>"$VM_OUT/shared.tunes"
		snap $1-$at 1
		vm-dvb free $at
	done
}
moves shared
set_ "* delay_ms=1000" # now the agent reads nearly always, also when the tuner leaves
moves slow-shared
set_ "* delay_ms=0"
rounds 1 # a module in use cannot be unloaded
vm-dvb off || fail off

say "a satellite tuner without statistics"
cat >>/etc/dvb/vidtv.conf <<'SAT'

[SAT]
	DELIVERY_SYSTEM = DVBS2
	LNB = UNIVERSAL
	FREQUENCY = 11250000
	POLARIZATION = VERTICAL
	SYMBOL_RATE = 27500000
	INNER_FEC = AUTO
	MODULATION = QPSK
SAT
vm-dvb sim adapters=1 satellite=1 v3only=1 || fail dvbsim
tune 0 SAT
snap satellite
vm-dvb off || fail off
snap after
systemctl show -p ActiveState -p SubState -p Type -p User -p WatchdogUSec -p NRestarts -p FragmentPath -p DropInPaths headend-agent >"$VM_OUT/service"
systemctl stop headend-agent
journalctl -u headend-agent --no-pager -o cat >"$VM_OUT/journal"
systemctl show -p Result --value headend-agent >"$VM_OUT/result"
dmesg | grep -E 'BUG:|Oops:|refcount_t' >"$VM_OUT/kernel"
say done
