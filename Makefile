# headend-agent. `make run` and `make test` need Go and make only; `make e2e` installs Debian packages (root).
VERSION  ?= $(shell cat VERSION)
REVISION ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
BUILT    ?= $(shell git log -1 --format=%cd --date=format:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo 2026-11-01T00:00:00Z)
# Functions of NVIDIA's library are bound when they are called: a host without it must start. Some distributions bind all at once.
LAZY      = -extldflags=-Wl,-z,lazy
LDFLAGS   = $(LAZY) -s -w -X main.version=$(VERSION) -X main.revision=$(REVISION) -X main.built=$(BUILT)
# Nothing of the agent speaks HTTP/2: the library for it is half a megabyte.
TAGS      = nethttpomithttp2
BINARY    = build/headend-agent
FUZZTIME ?= 10s

.PHONY: build packages run test sim e2e lint gpu-smoke fuzz bench check docs clean

build:
	go build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o $(BINARY) ./cmd/agent

# deb and rpm for amd64 and arm64 into dist/; needs gcc, gcc-aarch64-linux-gnu and mmdebstrap (e2e/install gets them).
packages:
	VERSION=$(VERSION) packaging/build

run: build
	$(BINARY) demo

test:
	go vet ./...
	go test -timeout 30m -ldflags '$(LAZY)' ./...
	go test -tags sigv4 -run 'Amazon|Signed' ./push ./cmd/agent

# Lives of the simulator, in virtual time, with a new seed each time, which it prints. SIM_SEED, SIM_MINUTES, SIM_STATE and SIM_PLAN:
# see internal/sim.
SIM_LIVES ?= 200
SIM_SEED ?= new
sim:
	SIM_LIVES=$(SIM_LIVES) SIM_SEED=$(SIM_SEED) go test -count=1 -timeout 0 -v -run '^Test(Lives|Regressions)$$' ./internal/sim

# The real agent against the real node_exporter, Prometheus and VictoriaMetrics; packages are installed where they are missing. Those
# of the tests that wait for minutes for what the agent tries again do so together, whatever the number of processors.
e2e: build
	e2e/install
	cd e2e && AGENT=$(CURDIR)/$(BINARY) go test -count=1 -timeout 60m -parallel 8 -v ./...

lint:
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	go vet ./...
	cd e2e && go vet ./...

# On a machine with an NVIDIA GPU: every call to its driver with return code, cost and readings. LIBRARY= names another library.
gpu-smoke: build
	$(BINARY) gpu-child --smoke $(if $(LIBRARY),--library=$(LIBRARY))

# Every fuzz target of every package, one after the other, and 30,000 power cuts.
fuzz:
	BUFFER_TRIALS=30000 go test -run '^TestPowerCuts$$' -timeout 60m ./buffer
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
	go test ./cmd/agent -run 'TestMetricsPage|TestConfigurationPage' -update

check: lint test e2e

clean:
	rm -rf build dist
