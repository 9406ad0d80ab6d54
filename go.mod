module headend-agent

go 1.26.8

require (
	github.com/prometheus/common v0.72.1
	github.com/prometheus/procfs v0.23.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/prometheus/client_model v0.6.3 // indirect
	golang.org/x/sync v0.24.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
