package host

import (
	"strings"
	"testing"

	"headend-agent/probe/probetest"
)

func TestBadPatternNamesItsKey(t *testing.T) {
	for _, c := range []struct {
		kind, key string
		decode    func(any) error
	}{
		{"disk", "device_exclude", decode(func(c *DiskConfig) { c.DeviceExclude = "(" })},
		{"network", "device_exclude", decode(func(c *NetworkConfig) { c.DeviceExclude = "(" })},
		{"netclass", "ignored_devices", decode(func(c *NetclassConfig) { c.IgnoredDevices = "(" })},
		{"netstat", "fields", decode(func(c *NetstatConfig) { c.Fields = "(" })},
		{"vmstat", "fields", decode(func(c *VMStatConfig) { c.Fields = "(" })},
	} {
		_, err := kind(t, c.kind).New(c.decode, newMachine(t).env())
		if err == nil || !strings.HasPrefix(err.Error(), c.key+": ") || !strings.Contains(err.Error(), "missing closing )") {
			t.Errorf("%s: got %v, want it to name %s and the fault", c.kind, err, c.key)
		}
	}
}

func TestPatternsChooseWhatIsEmitted(t *testing.T) {
	for _, c := range []struct {
		kind   string
		decode func(any) error
		want   string
	}{
		{"network", decode(func(c *NetworkConfig) { c.DeviceExclude = "^lo$" }), "flussonic_net_input_bytes{interface=\"eth0\"} 6.8210035552e+10\n"},
		{"netclass", decode(func(c *NetclassConfig) { c.IgnoredDevices = "^eth" }), "node_network_up{device=\"wg0\"} 0\n"},
		{"netstat", decode(func(c *NetstatConfig) { c.Fields = "^TcpExt_PruneCalled$" }), "node_netstat_TcpExt_PruneCalled 77\n"},
		{"vmstat", decode(func(c *VMStatConfig) { c.Fields = "^nr_" }), "node_vmstat_nr_free_pages 977769\n"},
	} {
		p := probetest.New(t, kind(t, c.kind), c.decode, probetest.Env(t, "testdata/"+c.kind))
		name, _, _ := strings.Cut(c.want, "{")
		name, _, _ = strings.Cut(name, " ")
		if got := only(t, p, name, "node_vmstat_pgfault", "node_netstat_Tcp_InErrs"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.kind, got, c.want)
		}
	}
}
