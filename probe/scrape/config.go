package scrape

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"headend-agent/probe"
)

// Config is one target, in the words of Prometheus' scrape_config. A limit of 0 is none.
type Config struct {
	JobName              string                  `yaml:"job_name"`                 // label job
	URL                  string                  `yaml:"url"`                      // of the exposition
	Params               url.Values              `yaml:"params"`                   // of the URL, as in Prometheus
	Labels               map[string]string       `yaml:"labels"`                   // as of static_configs
	HonorLabels          bool                    `yaml:"honor_labels"`             // as in Prometheus
	HonorTimestamps      bool                    `yaml:"honor_timestamps"`         // on unless set
	EnableCompression    *bool                   `yaml:"enable_compression"`       // unset: not over loopback
	FallbackProtocol     string                  `yaml:"fallback_scrape_protocol"` // for answers without a usable Content-Type
	BodySizeLimit        units.Base2Bytes        `yaml:"body_size_limit"`          // after decompression; 64 MiB unless set
	SampleLimit          int                     `yaml:"sample_limit"`             // as in Prometheus, as are the other limits
	LabelLimit           int                     `yaml:"label_limit"`              // as in Prometheus
	LabelNameLimit       int                     `yaml:"label_name_length_limit"`  // as in Prometheus
	LabelValueLimit      int                     `yaml:"label_value_length_limit"` // as in Prometheus
	MetricRelabelConfigs []*relabel.Config       `yaml:"metric_relabel_configs"`   // as in Prometheus
	HTTPClientConfig     config.HTTPClientConfig `yaml:",inline"`
}

// SetDirectory makes the paths of secrets relative to dir.
func (c *Config) SetDirectory(dir string) { c.HTTPClientConfig.SetDirectory(dir) }

const defaultBodyLimit = 64 * units.MiB

func defaultConfig() Config {
	return Config{HonorTimestamps: true, BodySizeLimit: defaultBodyLimit, HTTPClientConfig: config.DefaultHTTPClientConfig}
}

// fallbackTypes maps Prometheus' names of the text protocols to content types.
var fallbackTypes = map[string]string{
	"":                     "",
	"PrometheusText0.0.4":  textType,
	"PrometheusText1.0.0":  textType,
	"OpenMetricsText0.0.1": openMetricsType,
	"OpenMetricsText1.0.0": openMetricsType,
}

// address checks c and returns what to ask.
func (c *Config) address() (*url.URL, error) {
	if c.JobName == "" {
		return nil, errors.New("job_name is missing")
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", probe.AskError(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("url %q is not http://HOST:PORT/PATH", u.Redacted())
	}
	if u.Path == "" {
		u.Path = "/metrics"
	}
	if len(c.Params) > 0 {
		q := u.Query()
		maps.Copy(q, c.Params)
		u.RawQuery = q.Encode()
	}
	if _, ok := fallbackTypes[c.FallbackProtocol]; !ok {
		return nil, fmt.Errorf("fallback_scrape_protocol %q is not known", c.FallbackProtocol)
	}
	for name := range c.Labels {
		if !model.UTF8Validation.IsValidLabelName(name) || name == model.MetricNameLabel {
			return nil, fmt.Errorf("label name %q is not valid", name)
		}
	}
	for _, r := range c.MetricRelabelConfigs {
		if r == nil {
			return nil, errors.New("an item of metric_relabel_configs is empty")
		}
		if err := r.Validate(model.UTF8Validation); err != nil {
			return nil, fmt.Errorf("metric_relabel_configs: %w", err)
		}
	}
	if err := c.HTTPClientConfig.Validate(); err != nil {
		return nil, err
	}
	return u, nil
}

// targetLabels are the labels that every series of the target gets. A loopback address says nothing in a fleet, so the
// host name stands for it.
func (c *Config) targetLabels(u *url.URL, hostname string) labels.Labels {
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if loopback(host) {
		host = hostname
	}
	ls := map[string]string{"job": c.JobName, "instance": net.JoinHostPort(host, port)}
	maps.Copy(ls, c.Labels)
	return labels.FromMap(ls)
}

// ofThisHost tells whether the series of the target are those of the agent's own host.
func (c *Config) ofThisHost(u *url.URL) bool {
	return loopback(u.Hostname()) && c.Labels["instance"] == ""
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
