package buffer

import (
	"fmt"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
)

// Config is the `buffer:` block of the configuration file.
type Config struct {
	Path           string           `yaml:"path"`            // directory of the ring on disk
	Size           units.Base2Bytes `yaml:"size"`            // of the ring on disk
	Memory         units.Base2Bytes `yaml:"memory"`          // of what is kept in memory
	CommitInterval model.Duration   `yaml:"commit_interval"` // between writes while a destination is late
}

// DefaultConfig is what holds where the file says nothing.
func DefaultConfig() Config {
	return Config{
		Path:           "/var/lib/headend-agent/buffer",
		Size:           64 * units.MiB,
		Memory:         8 * units.MiB,
		CommitInterval: model.Duration(30 * time.Second),
	}
}

const minMemory = 1 * units.MiB

// Validate refuses sizes that no buffer can work with.
func (c Config) Validate() error {
	if c.Memory < minMemory {
		return fmt.Errorf("memory: %s is too small for one round of a large machine; give at least %s", c.Memory, minMemory)
	}
	return nil
}
