package push

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/units"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/relabel"
)

// Config is one entry of the `remote_write:` block, with Prometheus' names for what Prometheus has too.
type Config struct {
	URL                   string            `yaml:"url"`                      // the receiver's remote-write address
	Name                  string            `yaml:"name"`                     // the label "destination"; the URL's host where it is empty
	RemoteTimeout         model.Duration    `yaml:"remote_timeout"`           // of one request
	Headers               map[string]string `yaml:"headers"`                  // sent with each request; they may be secrets
	WriteRelabelConfigs   []*relabel.Config `yaml:"write_relabel_configs"`    // as in Prometheus, before sending
	ProtobufMessage       string            `yaml:"protobuf_message"`         // auto, io.prometheus.write.v2.Request or prometheus.WriteRequest
	Compression           string            `yaml:"compression"`              // auto: zstd where a receiver of 1.0 takes it; snappy, or zstd where the receiver is VictoriaMetrics
	FlushInterval         model.Duration    `yaml:"flush_interval"`           // rounds wait at most this long to share a request; 15s to 30s on metered links
	Order                 string            `yaml:"order"`                    // fifo, or live_first for receivers that take samples out of order
	OnRefusal             string            `yaml:"on_refusal"`               // split: find what is wrong with a refused batch; drop: give all of it up
	BacklogBytesPerSecond units.Base2Bytes  `yaml:"backlog_bytes_per_second"` // 0: no limit
	MaxAge                model.Duration    `yaml:"max_age"`                  // 0: all that the ring holds

	SigV4 *SigV4                      `yaml:"sigv4"` // signs for Amazon's managed Prometheus
	HTTP  promconfig.HTTPClientConfig `yaml:",inline"`
}

// What `protobuf_message`, `compression`, `order` and `on_refusal` may say.
const (
	MessageAuto = "auto"
	MessageV1   = "prometheus.WriteRequest"
	MessageV2   = "io.prometheus.write.v2.Request"

	CompressionAuto   = "auto" // snappy, and zstd where 1.0 is spoken and an empty request by it is taken
	CompressionSnappy = "snappy"
	CompressionZstd   = "zstd" // VictoriaMetrics only, and 1.0

	OrderFIFO      = "fifo"
	OrderLiveFirst = "live_first"

	RefusalSplit = "split"
	RefusalDrop  = "drop"
)

// DefaultConfig is what holds where an entry says nothing.
func DefaultConfig() Config {
	return Config{
		RemoteTimeout:         model.Duration(30 * time.Second),
		ProtobufMessage:       MessageAuto,
		Compression:           CompressionAuto,
		FlushInterval:         model.Duration(5 * time.Second),
		Order:                 OrderFIFO,
		OnRefusal:             RefusalSplit,
		BacklogBytesPerSecond: 256 * units.KiB,
		HTTP:                  promconfig.DefaultHTTPClientConfig,
	}
}

// Destination is the name that logs and metrics use. It holds no secret.
func (c Config) Destination() string {
	if c.Name != "" {
		return c.Name
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return "" // Validate refuses it
	}
	return u.Host
}

// Validate says what is wrong with an entry, and what to write instead.
func (c Config) Validate() error {
	if c.URL == "" {
		return errors.New("url is missing; give the receiver's remote-write address, like https://prometheus.example/api/v1/write")
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return errors.New("url cannot be read; write it like https://prometheus.example/api/v1/write") // it may hold a password
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return fmt.Errorf("url%s needs http:// or https:// and a host", harmless(c.URL))
	}
	for _, choice := range []struct {
		key, value string
		allowed    []string
	}{
		{"protobuf_message", c.ProtobufMessage, []string{MessageAuto, MessageV2, MessageV1}},
		{"compression", c.Compression, []string{CompressionAuto, CompressionSnappy, CompressionZstd}},
		{"order", c.Order, []string{OrderFIFO, OrderLiveFirst}},
		{"on_refusal", c.OnRefusal, []string{RefusalSplit, RefusalDrop}},
	} {
		if err := oneOf(choice.key, choice.value, choice.allowed); err != nil {
			return err
		}
	}
	if c.Compression == CompressionZstd && c.ProtobufMessage == MessageV2 {
		return errors.New("compression: zstd is VictoriaMetrics' own, which takes 1.0; leave protobuf_message at auto, or use snappy")
	}
	if c.FlushInterval < 0 || c.RemoteTimeout <= 0 || c.MaxAge < 0 || c.BacklogBytesPerSecond < 0 {
		return errors.New("flush_interval, max_age and backlog_bytes_per_second must not be negative and remote_timeout must be above 0")
	}
	for name := range c.Headers {
		if reserved(name) {
			return fmt.Errorf("headers: %s is set by the protocol and cannot be changed", name)
		}
	}
	if h := c.HTTP.HTTPHeaders; h != nil {
		for name := range h.Headers {
			if reserved(name) {
				return fmt.Errorf("http_headers: %s is set by the protocol and cannot be changed", name)
			}
		}
	}
	for i, r := range c.WriteRelabelConfigs {
		if r == nil {
			return fmt.Errorf("write_relabel_configs[%d] is empty", i)
		}
		if err := r.Validate(model.UTF8Validation); err != nil {
			return fmt.Errorf("write_relabel_configs[%d]: %w", i, err)
		}
	}
	if err := c.HTTP.Validate(); err != nil {
		return err
	}
	if c.SigV4 != nil {
		if c.HTTP.BasicAuth != nil || c.HTTP.Authorization != nil || c.HTTP.OAuth2 != nil {
			return errors.New("sigv4 is an authentication of its own; leave out basic_auth, authorization and oauth2")
		}
		if err := c.SigV4.validate(); err != nil {
			return err
		}
	}
	return c.readable()
}

// secretFiles are the files that an entry names, by key.
func (c Config) secretFiles() map[string]string {
	files := map[string]string{"bearer_token_file": c.HTTP.BearerTokenFile, "tls_config.ca_file": c.HTTP.TLSConfig.CAFile,
		"tls_config.cert_file": c.HTTP.TLSConfig.CertFile, "tls_config.key_file": c.HTTP.TLSConfig.KeyFile}
	if b := c.HTTP.BasicAuth; b != nil {
		files["basic_auth.username_file"], files["basic_auth.password_file"] = b.UsernameFile, b.PasswordFile
	}
	if a := c.HTTP.Authorization; a != nil {
		files["authorization.credentials_file"] = a.CredentialsFile
	}
	if o := c.HTTP.OAuth2; o != nil {
		files["oauth2.client_secret_file"] = o.ClientSecretFile
	}
	return files
}

// readable complains at start about secret files that cannot be read; they are read anew as they change.
func (c Config) readable() error {
	files := c.secretFiles()
	for _, key := range slices.Sorted(maps.Keys(files)) {
		if files[key] == "" {
			continue
		}
		if i, err := os.Stat(files[key]); err == nil && !i.Mode().IsRegular() { // to open a pipe waits for who writes into it
			return fmt.Errorf("%s: %s is not a regular file", key, files[key])
		}
		f, err := os.Open(files[key])
		if err != nil {
			return fmt.Errorf("%s: %w; the agent's user must be able to read it", key, err)
		}
		f.Close()
	}
	return nil
}

// Unsupported are keys of Prometheus' own `remote_write:` that have no meaning here, and what takes their place.
var Unsupported = map[string]string{
	"queue_config":           "one request at a time is in flight, and requests are sized by themselves; see flush_interval and backlog_bytes_per_second",
	"metadata_config":        "as by default in Prometheus: 2.0 carries metadata with each series, 1.0 once a minute",
	"send_exemplars":         "there are no exemplars",
	"send_native_histograms": "there are no native histograms",
	"round_robin_dns":        "a changed address is used after the first failure",
	"azuread":                "use oauth2",
	"google_iam":             "use a collector there",
}

// harmless returns a URL for a message, where it cannot hold a secret.
func harmless(url string) string {
	if strings.ContainsAny(url, "@?") {
		return ""
	}
	return fmt.Sprintf(" %q", url)
}

func oneOf(key, value string, allowed []string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return fmt.Errorf("%s: %q is not one of %q", key, value, allowed)
}
