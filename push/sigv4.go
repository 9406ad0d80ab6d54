package push

import promconfig "github.com/prometheus/common/config"

// SigV4 is how requests to Amazon's services are signed, with Prometheus' names. What it leaves empty comes from the environment, the
// shared files of Amazon's tools or the machine's own role. Programs are built without it unless the tag sigv4 is set.
type SigV4 struct {
	Region             string            `yaml:"region"`                // of the workspace, like eu-central-1
	AccessKey          string            `yaml:"access_key"`            // with secret_key; both or neither
	SecretKey          promconfig.Secret `yaml:"secret_key"`            // to keep it out of this file, give a profile
	Profile            string            `yaml:"profile"`               // in the shared files
	RoleARN            string            `yaml:"role_arn"`              // a role to take on
	ExternalID         string            `yaml:"external_id"`           // for role_arn
	SessionName        string            `yaml:"session_name"`          // for role_arn
	Tags               map[string]string `yaml:"tags"`                  // for role_arn
	UseFIPSSTSEndpoint bool              `yaml:"use_fips_sts_endpoint"` // for role_arn
	ServiceName        string            `yaml:"service_name"`          // aps unless set
}
