module headend-agent

go 1.26.8

require github.com/prometheus/procfs v0.23.0

require (
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
