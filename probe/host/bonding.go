package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"headend-agent/internal/metric"
)

var (
	bondingSlaves = &metric.Desc{Name: "node_bonding_slaves", Help: "Interfaces that the bond has.", Type: metric.Gauge, Labels: []string{"master"}}
	bondingActive = &metric.Desc{Name: "node_bonding_active", Help: "Interfaces of the bond whose link is up.", Type: metric.Gauge, Labels: []string{"master"}}
	bondingDescs  = []*metric.Desc{bondingSlaves, bondingActive}
)

// collectBonding reads /sys/class/net/bonding_masters and what it names, which procfs does not.
func collectBonding(sys string, out *metric.Set) error {
	net := filepath.Join(sys, "class/net")
	masters, err := os.ReadFile(filepath.Join(net, "bonding_masters"))
	if err != nil {
		return fmt.Errorf("list bonds: %w", err)
	}
	for master := range strings.FieldsSeq(string(masters)) {
		bond := filepath.Join(net, master)
		list, err := os.ReadFile(filepath.Join(bond, "bonding/slaves"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // taken down in between
		}
		if err != nil {
			return fmt.Errorf("read bond %s: %w", master, err)
		}
		slaves, active := 0, 0
		for slave := range strings.FieldsSeq(string(list)) {
			status, err := readSys(filepath.Join(bond, "lower_"+slave, "bonding_slave/mii_status"))
			if errors.Is(err, fs.ErrNotExist) { // kernels before 3.18
				status, err = readSys(filepath.Join(bond, "slave_"+slave, "bonding_slave/mii_status"))
			}
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("read bond %s: %w", master, err)
			}
			slaves++
			if status == "up" {
				active++
			}
		}
		out.Add(bondingSlaves, float64(slaves), master)
		out.Add(bondingActive, float64(active), master)
	}
	return nil
}
