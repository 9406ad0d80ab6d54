module headend-agent/e2e

go 1.26.8
