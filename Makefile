# What there is to make:
#
#	build       bin/uvs, one static binary
#	install     the binary and systemd's unit below PREFIX, in a package's tree with DESTDIR
#	demo        the binary, and whole sites in network namespaces to see it work (root)
#	check       everything that needs no root: format, vet, lint, race tests, other machines
#	test        Debian packages, check, and the tests in network namespaces (root); CI runs it
#	sites       whole sites as people run them, from files as they have them; part of test (root)
#	bench       Debian packages, and UVS beside its alternatives on one topology (root); bench/README.md
#	report      tables and plots of bench/REPORT.md from the result files that it names
#	bench-guest UVS beside IPVS in a virtual machine (root; half an hour where there is no KVM)
#	microbench  the benchmarks of single functions
#	fuzz        every fuzz target, for FUZZTIME each
#	guest       the tests that need devices this kernel may lack, in a virtual machine (root)
#	soak        what takes long: fuzzing, many seeds, and takeovers often enough to judge them (root)

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

GO       ?= $(shell command -v go || echo /usr/local/go/bin/go)
FUZZTIME ?= 60s
ROUNDS   ?= 5
PREFIX   ?= /usr/local
DESTDIR  ?=

# The go command is also run by scripts and tests.
export PATH := $(dir $(GO)):$(PATH):/usr/sbin:/sbin

# Sources that are not a git checkout, or someone else's, build all the same.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
GOBUILD := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -X main.release=$(VERSION)'

# Packages with tests in network namespaces.
NETNS = $(shell find . -name '*_netns_test.go' -printf '%h\n' | sort -u)
# Those that send so many frames that others beside them would lose some.
LOUD = $(filter ./bench% ./forwarding%,$(NETNS))
# Packages that count allocations.
NOALLOCS = $(shell grep -rl --include='*_test.go' 'func TestNoAllocs' . | xargs -n 1 dirname | sort -u)
# Machines that the code must build for: the usual other one, 32 bits, big-endian.
CROSS := arm64 arm mips64

LINT := .cache/golangci-lint
GATE := .cache/skipgate

.PHONY: build install demo check format vet lint unit cross test packages root netns sites bench report bench-guest microbench fuzz guest soak clean

build:
	$(GOBUILD) -o bin/uvs ./cmd/uvs

# A binary that is there is taken as it is: root may have no Go.
bin/uvs:
	$(MAKE) build

install: bin/uvs
	install -D -m 755 bin/uvs '$(DESTDIR)$(PREFIX)/sbin/uvs'
	install -d '$(DESTDIR)$(PREFIX)/lib/systemd/system'
	sed 's|/usr/sbin/uvs|$(PREFIX)/sbin/uvs|' dist/systemd/uvs.service >'$(DESTDIR)$(PREFIX)/lib/systemd/system/uvs.service'
	chmod 644 '$(DESTDIR)$(PREFIX)/lib/systemd/system/uvs.service'

demo: build
	bin/uvs demo

check: format vet cross unit lint

format:
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "gofmt -w these:" $$files; exit 1; }

# The tag only adds files, so that this is all of them. What go test vets itself is less.
vet:
	$(GO) vet -tags netns ./...

# The linter has its own module; building it once takes minutes.
$(LINT): tools/go.mod tools/go.sum
	cd tools && CGO_ENABLED=0 $(GO) build -buildvcs=false -o ../$(LINT) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

lint: $(LINT)
	GOLANGCI_LINT_CACHE=$(CURDIR)/.cache/lint $(LINT) run --build-tags netns ./...

.PHONY: $(GATE)
$(GATE):
	@$(GO) build -buildvcs=false -o $(GATE) ./internal/skipgate

# The race detector allocates, so allocations are counted without it.
unit: $(GATE)
	$(GO) test -json -race -vet=off -shuffle=on ./... | $(GATE)
	$(GO) test -vet=off -run NoAllocs $(NOALLOCS)

# All that the program is made of, not what only tests and benchmarks import.
cross:
	for arch in $(CROSS); do echo "build for $$arch"; \
		CGO_ENABLED=0 GOARCH=$$arch GOARM=5 $(GO) build -buildvcs=false $$($(GO) list -deps ./cmd/uvs | grep ^uvs/); done

test: root packages check netns

root:
	@[ "$$(id -u)" = 0 ] || { echo "this target needs root for network namespaces; make check does not"; exit 1; }

packages:
	scripts/packages.sh

# Most of these tests wait most of the time: packages run two at once, but for the loud ones, and in e2e tests four at
# once, after those that measure time, which run alone. What fails in the first half does not hide the second.
netns: root build $(GATE)
	failed=0; export UVS_BIN=$(CURDIR)/bin/uvs; \
	$(GO) test -json -tags netns -count=1 -vet=off -p 2 -timeout 15m $(filter-out ./e2e $(LOUD),$(NETNS)) | $(GATE) || failed=1; \
	$(GO) test -json -tags netns -count=1 -vet=off -p 1 -parallel 4 -timeout 25m ./e2e $(LOUD) | $(GATE) || failed=1; \
	exit $$failed

sites: root packages build $(GATE)
	UVS_BIN=$(CURDIR)/bin/uvs $(GO) test -json -tags netns -count=1 -timeout 15m -run '^TestSite' ./e2e | $(GATE)
	scripts/guest.sh '^TestGuestSite'

# Flags for the program, such as -scenarios pps,bulk, go into BENCHFLAGS.
bench: root packages build
	$(GO) build -buildvcs=false -o .cache/bench ./bench
	.cache/bench -rounds $(ROUNDS) $(BENCHFLAGS)

report:
	$(GO) run ./bench report bench/REPORT.md

bench-guest: root packages build
	scripts/bench-guest.sh $(BENCHFLAGS)

microbench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

fuzz:
	scripts/fuzz.sh $(FUZZTIME)

guest: root packages build
	scripts/guest.sh

soak: root fuzz guest $(GATE) build
	$(GO) test ./vrrp -run Simulation -timeout 60m -args -seeds 100000
	$(GO) test -json -race -shuffle=on -count=$(ROUNDS) -timeout 60m ./... | $(GATE)
	UVS_LONG=1 UVS_BIN=$(CURDIR)/bin/uvs $(GO) test -json -tags netns -count=$(ROUNDS) -p 1 -timeout 60m $(NETNS) | $(GATE)
	UVS_SOAK=1 UVS_BIN=$(CURDIR)/bin/uvs $(GO) test -v -tags netns -count=1 -timeout 60m -run 'Takeover|ServiceGap' ./e2e

clean:
	rm -rf bin .cache
