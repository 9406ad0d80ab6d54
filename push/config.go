package push

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/alecthomas/units"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/relabel"
)

// Config is one entry of the `remote_write:` block, with Prometheus' names for what Prometheus has too.
type Config struct {
	URL                   *promconfig.URL   `yaml:"url"`
	Name                  string            `yaml:"name"` // the label "destination"; the URL's host where it is empty
	RemoteTimeout         model.Duration    `yaml:"remote_timeout"`
	Headers               map[string]string `yaml:"headers"`
	WriteRelabelConfigs   []*relabel.Config `yaml:"write_relabel_configs"`
	ProtobufMessage       string            `yaml:"protobuf_message"`
	Compression           string            `yaml:"compression"`
	FlushInterval         model.Duration    `yaml:"flush_interval"`
	Order                 string            `yaml:"order"`
	OnRefusal             string            `yaml:"on_refusal"`
	BacklogBytesPerSecond units.Base2Bytes  `yaml:"backlog_bytes_per_second"` // 0: no limit
	MaxAge                model.Duration    `yaml:"max_age"`                  // 0: all that the ring holds

	HTTP promconfig.HTTPClientConfig `yaml:",inline"`
}

// Protocol messages, as `protobuf_message` names them.
const (
	MessageAuto = "auto"
	MessageV1   = "prometheus.WriteRequest"
	MessageV2   = "io.prometheus.write.v2.Request"
)

// DefaultConfig is what holds where an entry says nothing.
func DefaultConfig() Config {
	return Config{
		RemoteTimeout:         model.Duration(30 * time.Second),
		ProtobufMessage:       MessageAuto,
		Compression:           "snappy",
		FlushInterval:         model.Duration(5 * time.Second),
		Order:                 "fifo",
		OnRefusal:             "split",
		BacklogBytesPerSecond: 256 * units.KiB,
		HTTP:                  promconfig.DefaultHTTPClientConfig,
	}
}

// Destination is the name that logs and metrics use. It holds no secret.
func (c Config) Destination() string {
	if c.Name != "" {
		return c.Name
	}
	return c.URL.Host
}

// Validate says what is wrong with an entry, and what to write instead.
func (c Config) Validate() error {
	if c.URL == nil || c.URL.URL == nil {
		return errors.New("url is missing: give the receiver's remote-write address, like https://prometheus.example/api/v1/write")
	}
	if (c.URL.Scheme != "http" && c.URL.Scheme != "https") || c.URL.Host == "" {
		return fmt.Errorf("url %q needs http:// or https:// and a host", (&url.URL{Scheme: c.URL.Scheme, Host: c.URL.Host, Path: c.URL.Path, Opaque: c.URL.Opaque}).String())
	}
	for _, choice := range []struct {
		key, value string
		allowed    []string
	}{
		{"protobuf_message", c.ProtobufMessage, []string{MessageAuto, MessageV2, MessageV1}},
		{"compression", c.Compression, []string{"snappy"}},
		{"order", c.Order, []string{"fifo"}},
		{"on_refusal", c.OnRefusal, []string{"split"}},
	} {
		if err := oneOf(choice.key, choice.value, choice.allowed); err != nil {
			return err
		}
	}
	if c.FlushInterval < 0 || c.RemoteTimeout <= 0 {
		return errors.New("flush_interval must not be negative and remote_timeout must be above 0")
	}
	for name := range c.Headers {
		if reserved(name) {
			return fmt.Errorf("headers: %s is set by the protocol and cannot be changed", name)
		}
	}
	return c.HTTP.Validate()
}

func oneOf(key, value string, allowed []string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return fmt.Errorf("%s: %q is not one of %q", key, value, allowed)
}
