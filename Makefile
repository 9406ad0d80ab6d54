# headend-agent. `make run` and `make test` need Go and make only; `make e2e` installs Debian packages (root).
VERSION  ?= $(shell cat VERSION)
REVISION ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
BUILT    ?= $(shell git log -1 --format=%cd --date=format:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo 2026-11-01T00:00:00Z)
LDFLAGS   = -s -w -X main.version=$(VERSION) -X main.revision=$(REVISION) -X main.built=$(BUILT)
BINARY    = build/headend-agent
FUZZTIME ?= 10s

.PHONY: build run test e2e lint fuzz bench check docs clean

build:
	go build -trimpath -ldflags '$(LDFLAGS)' -o $(BINARY) ./cmd/agent

run: build
	$(BINARY) demo

test:
	go vet ./...
	go test ./...

# The real agent against the real node_exporter, Prometheus and VictoriaMetrics; packages are installed where they are missing.
e2e: build
	e2e/install
	cd e2e && AGENT=$(CURDIR)/$(BINARY) go test -count=1 -timeout 20m -v ./...

lint:
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	go vet ./...
	cd e2e && go vet ./...

# Every fuzz target of every package, one after the other.
fuzz:
	@for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done; \
	done

bench:
	go test -run '^$$' -bench . -benchmem ./...

# METRICS.md from the descriptors, docs/configuration.md from the structs, the dashboards: look at the diff.
docs:
	go run ./packaging/grafana
	go test ./cmd/agent -run TestMetricsPage -update

check: lint test e2e

clean:
	rm -rf build dist
