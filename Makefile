# make run builds Caddy with this module and serves the chat at
# http://localhost:3000; make test runs everything that CI runs.

CADDY_VERSION := v2.11.9
CLUSTERTEST := store/jetstream/clustertest
MODULE := github.com/sse-chat/caddy-sse-chat
TOOL := go tool -modfile=$(CURDIR)/tools/go.mod
FUZZ := 1
SOAKTIME := 30m
SOAKTIME_H2 := 10m

# including embedded files
SOURCES := go.mod go.sum Caddyfile $(shell find public -type f) \
	$(shell find . -name '*.go' -not -name '*_test.go' -not -path './e2e/*' -not -path './bench/*' -not -path './tools/*' -not -path './examples/*' -not -path './internal/chattest/*' -not -path './$(CLUSTERTEST)/*')

.PHONY: run build test lint unit race fuzz cluster-test nats-server openssl e2e browsers proxies clients fmt soak vulncheck licenses reproducible cluster bench bench-full bench-go clean

run: caddy
	./caddy run

build: caddy

# without a version, xcaddy asks the network for the newest one; the flags are
# xcaddy's own and the tag http2legacy (see xcaddy.md)
caddy: export XCADDY_GO_BUILD_FLAGS := -trimpath -ldflags '-w -s' -tags nobadger,nomysql,nopgx,http2legacy
caddy: $(SOURCES)
	$(TOOL) xcaddy build $(CADDY_VERSION) --with $(MODULE)@v0.0.0=. --output ./caddy

test: lint unit race fuzz cluster-test e2e
	@echo "all checks have passed"

lint:
	go mod tidy -diff
	go vet ./...
	$(TOOL) golangci-lint run ./...
	for module in e2e e2e/clients bench tools $(CLUSTERTEST); do (cd $$module && go mod tidy -diff && $(TOOL) golangci-lint run --config $(CURDIR)/.golangci.yml ./...) || exit 1; done
	cd tools && go run ./licenses -out ../docs/licenses.md -check

# tests that mean nothing under the race detector: allocations, memory, and
# Caddys that are killed, stopped, flooded, or out of disk or descriptors
unit:
	go test -run 'Allocate|IsKilled|DiskIsFull|CostNobody|NoAmplifier|ComeAndGo|TooManyRooms|HalfRequests|OutOfDescriptors|StoppedAndContinued|MemoryOfOneRequest|EverythingAtOnce' ./...
	cd bench && go test . ./internal/... ./soak
	cd tools && go test ./...

race: openssl
	go test -race -timeout 20m ./...

# a TLS client that updates its keys; Go's cannot
openssl:
	@command -v openssl >/dev/null || { \
		if [ "$$(id -u)" = 0 ]; then apt-get update && apt-get install -y --no-install-recommends openssl; \
		else echo "the tests of TLS need Debian's openssl: apt-get install openssl"; exit 1; fi; }

# go test fuzzes one target at a time. The limit is a number of inputs, because
# a time limit makes a run fail now and then. Minimizing is limited, because it
# can take longer than everything else.
define fuzz
	go test -run '^$$' -fuzz '^$(2)$$' -fuzztime $(shell expr $(3) \* $(FUZZ))x -fuzzminimizetime 10x $(1)

endef

fuzz:
	$(call fuzz,./store,FuzzFrame,150000)
	$(call fuzz,./store,FuzzParseID,200000)
	$(call fuzz,./store,FuzzText,100000)
	$(call fuzz,./store,FuzzRawFrame,50000)
	$(call fuzz,./store/bolt,FuzzDecode,50000)
	$(call fuzz,./store/bolt,FuzzCheck,2000)
	$(call fuzz,./internal/hub,FuzzReplay,1000)
	$(call fuzz,./internal/h2tap,FuzzClientFrames,3000)
	$(call fuzz,./internal/h2tap,FuzzLingering,2000)
	$(call fuzz,./internal/h2tap,FuzzServerFrames,20000)
	$(call fuzz,./internal/jsonscan,FuzzValueEnd,20000)
	$(call fuzz,./internal/wire,FuzzDecodeMessage,7000)
	$(call fuzz,./internal/wire,FuzzDecodeChange,10000)
	$(call fuzz,./internal/wire,FuzzAnswer,8000)
	$(call fuzz,./internal/roompattern,FuzzRoomPattern,5000)
	$(call fuzz,./internal/wire,FuzzForm,5000)
	$(call fuzz,./internal/wire,FuzzCheckName,50000)
	$(call fuzz,./internal/wire,FuzzCheckRoom,50000)
	$(call fuzz,./internal/wire,FuzzFitName,50000)
	$(call fuzz,./internal/wire,FuzzJSONFault,50000)

# the built binary, the page in real browsers, all recipes, and third-party
# clients; one after the other, because a browser needs the whole machine
e2e: caddy browsers proxies clients
	./caddy fmt --diff Caddyfile
	./caddy validate
	cd e2e && npm ci --no-audit --no-fund --loglevel=error
	cd e2e && CADDY=$(CURDIR)/caddy go test -p 1 -timeout 40m ./...
	cd e2e/clients && npm ci --no-audit --no-fund --loglevel=error
	cd e2e/clients && go test -timeout 10m ./...

browsers:
	@for program in chromium firefox-esr; do command -v $$program >/dev/null || missing=1; done; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ]; then apt-get update && apt-get install -y --no-install-recommends chromium firefox-esr fonts-nanum fonts-noto-color-emoji; \
		else echo "the browser tests need Debian's chromium and firefox-esr: apt-get install chromium firefox-esr fonts-nanum fonts-noto-color-emoji"; exit 1; fi; fi

# proxies for the recipes, programs that check them, and clients
proxies: PATH := $(PATH):/usr/sbin
proxies:
	@for program in nginx haproxy varnishd curl systemd-analyze; do command -v $$program >/dev/null || missing=1; done; \
	/usr/bin/python3 -c 'import requests, httpx, h2' 2>/dev/null || missing=1; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ]; then apt-get update && apt-get install -y --no-install-recommends nginx haproxy varnish curl systemd python3-requests python3-httpx python3-h2; \
		else echo "the tests of recipes and clients need Debian's nginx, haproxy, varnish, curl, systemd, python3-requests, python3-httpx and python3-h2: apt-get install nginx haproxy varnish curl systemd python3-requests python3-httpx python3-h2"; exit 1; fi; fi

# HTTP clients of other languages; Java compiles the one that it runs
CLIENTS := python3-requests python3-httpx python3-aiohttp default-jdk-headless libokhttp-java libmojolicious-perl php-cli php-curl
clients:
	@for program in javac perl php; do command -v $$program >/dev/null || missing=1; done; \
	/usr/bin/python3 -c 'import requests, httpx, aiohttp' 2>/dev/null || missing=1; \
	perl -MMojo::UserAgent -e 1 2>/dev/null || missing=1; \
	php -r 'exit(function_exists("curl_init") ? 0 : 1);' 2>/dev/null || missing=1; \
	test -e /usr/share/java/okhttp.jar || missing=1; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ]; then apt-get update && apt-get install -y --no-install-recommends $(CLIENTS); \
		else echo "the tests of clients need Debian's $(CLIENTS): apt-get install $(CLIENTS)"; exit 1; fi; fi

fmt:
	$(TOOL) golangci-lint fmt ./...
	for module in e2e e2e/clients bench tools $(CLUSTERTEST); do (cd $$module && $(TOOL) golangci-lint fmt --config $(CURDIR)/.golangci.yml ./...) || exit 1; done

# the JetStream store on real servers, and Caddys that share one
cluster-test: PATH := $(PATH):/usr/sbin
cluster-test: nats-server
	cd $(CLUSTERTEST) && NATS_SERVER=nats-server go test -timeout 15m ./...

# Debian's version is the oldest that the store supports
nats-server: PATH := $(PATH):/usr/sbin
nats-server:
	@command -v nats-server >/dev/null || { \
		if [ "$$(id -u)" = 0 ]; then apt-get update && apt-get install -y --no-install-recommends nats-server; \
		else echo "the tests of the JetStream store need Debian's nats-server: apt-get install nats-server"; exit 1; fi; }

# takes an hour or two: readers that connect and leave for half an hour, and for
# ten minutes over HTTPS and HTTP/2 (see docs/soak.md); floods, stops, NATS
# clusters and fuzzing for longer than in make test; and known vulnerabilities,
# which may come from an old Go
soak: caddy reproducible
	cd bench && go run ./soak -for $(SOAKTIME) -out ../docs/soak
	cd bench && go run ./soak -over h2 -for $(SOAKTIME_H2) -reload 30s -out ../docs/soak-h2
	SOAK=1 go test -timeout 30m -run 'TooManyRooms|StoppedAndContinued|EverythingAtOnce' -v ./tests
	cd $(CLUSTERTEST) && SOAK=1 go test -timeout 60m -count 3 -run 'ThreeNodes|CutOff|Dies' -v ./...
	$(MAKE) fuzz FUZZ=12
	$(MAKE) vulncheck

# known vulnerabilities in code that is called. The database is a Go module, so a
# module proxy is enough. Those of the standard library depend on the Go version
# that builds.
vulncheck:
	db=$$(mktemp -d) && trap 'rm -rf "$$db"' EXIT && \
	source=$$(go mod download -json golang.org/x/vulndb@latest | sed -n 's/.*"Dir": "\(.*\)".*/\1/p') && \
	{ test -d "$$source" || { echo "the database golang.org/x/vulndb cannot be downloaded: nothing was checked"; exit 1; }; } && \
	go run golang.org/x/vulndb/cmd/indexdb@latest -vulns "$$source/data/osv" -out "$$db" && \
	$(TOOL) govulncheck -db "file://$$db" -tags nobadger,nomysql,nopgx ./...

# the licences of all modules in the binary
licenses:
	cd tools && go run ./licenses -out ../docs/licenses.md

# builds the current commit twice, once with empty caches, which takes minutes;
# both binaries must be identical
reproducible:
	tools/reproducible.sh $(CADDY_VERSION) $(MODULE)

# three NATS servers and three Caddys on this machine, until Ctrl-C
cluster: caddy
	examples/cluster/run.sh

# compares with other servers, in a few minutes; see docs/benchmarks.md
bench:
	cd bench && go run . -suite short

# measures the figures in docs, which takes half an hour on an idle machine
bench-full:
	cd bench && go run . -suite full -out ../docs/benchmarks
	cd bench && go run . -suite growth -out ../docs/scaling
	cd bench && go run . -suite back

bench-go:
	go test -run '^$$' -bench . -benchmem ./...

clean:
	rm -f caddy
	rm -rf e2e/screenshots
