# S.In.Ba. hub. `make` or `make help` lists the targets.

.DEFAULT_GOAL := help
SHELL := /bin/sh

GO      ?= go
VERSION ?= $(shell git describe --always --dirty --tags 2>/dev/null || echo dev)
BUILD   := $(GO) build -mod=readonly -trimpath -ldflags '-X main.version=$(VERSION)'
TEST    := $(GO) test -mod=readonly

# The linter takes minutes to build, so it is kept outside the clone under its own version.
LINT_VERSION := 2.15.0
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sinbahub
LINT  := $(CACHE)/golangci-lint-$(LINT_VERSION)-$(shell $(GO) env GOVERSION)

# How long `make fuzz` stays with each target.
FUZZTIME ?= 30s
FUZZ = GO="$(GO)" deploy/fuzz.sh

# How many workers `make segv` kills.
SEGV ?= 1000

# What `make bench-compare` compares with, and how often.
BASE   ?= HEAD~1
ROUNDS ?= 5

# How long `make slow` takes, in seconds.
SLOW ?= 60

# How often the campaigns do what they are for (deploy/docs/reliability.md), and after how many minutes
# they end and tell what they did until then; empty: never.
KILLS           ?= 1000
RECEIPTS        ?= 100000
DATABASE_KILLS  ?= 300
SISS_DELIVERIES ?= 10000
CUT_STEP        ?= 1
FREEZES         ?= 200
STORM_REPEATS   ?= 10000
STORM_IDS       ?= 1000
AWAY_EVENTS     ?= 100000
DURABLE         ?= 200
SWEEP_STEP      ?= 1
TAMPERINGS      ?= 1000
CANARIES        ?= 10000
MINUTES         ?=
CAMPAIGN = SINBAHUB_TEST_MINUTES=$(MINUTES) $(TEST) -tags smoke -count=1 -v -timeout 12h ./internal/hubtest -run
# How often `make failover` loses the primary and `make diskfull` fills the disk, and from which
# commits `make upgrade` comes: those that changed the schema.
FAILOVER ?= 30
DISKFULL ?= 20
UPGRADE  ?= $(shell git log --reverse --format=%h --diff-filter=A -- internal/postgres/migrations 2>/dev/null)

NODE := internal/hubtest/clients/node

.PHONY: run
run: build ## Start hub, simulator and database, send the samples, stay until Ctrl-C
	bin/sinbahub demo run

.PHONY: up
up: build ## The same in the background without sending; writes var/run.json
	bin/sinbahub demo up

.PHONY: down
down: ## Stop what `up` started
	@if [ -x bin/sinbahub ]; then bin/sinbahub demo down; else echo "nothing is built, so nothing runs"; fi

.PHONY: build
build: deps ## Build bin/sinbahub, bin/siss-sim and bin/sinbaverify (static)
	$(BUILD) -o bin/ ./cmd/...
	CGO_ENABLED=0 $(BUILD) -o bin/ ./cmd/sinbaverify

.PHONY: test
test: deps ## All Go tests but those of e2e and smoke, with the race detector
	$(TEST) -race -shuffle=on -timeout 20m ./...

.PHONY: e2e
e2e: build deps-clients ## One end-to-end run: plain binaries, real SOAP clients
	@$(TEST) -tags e2e -list '^TestE2E' ./... | grep -q '^TestE2E' || { echo "there is no end-to-end test" >&2; exit 1; }
	$(TEST) -tags e2e -run '^TestE2E' -count=1 -timeout 10m ./...

.PHONY: clients
clients: build deps-clients deps-stacks ## Clients of five SOAP stacks, made from the served WSDL, call every operation and send whole histories
	$(TEST) -tags smoke -run '^TestSmokeClients$$' -count=1 -v -timeout 10m ./internal/hubtest

.PHONY: smoke
smoke: build deps-clients deps-stacks ## Everything slow in its short form
	@$(TEST) -tags smoke -list '^TestSmoke' ./... | grep -q '^TestSmoke' || { echo "there is no smoke test" >&2; exit 1; }
	$(TEST) -tags smoke -run '^TestSmoke' -count=1 -v -timeout 30m ./...
	$(MAKE) --no-print-directory fuzz FUZZTIME=20s

.PHONY: segv
segv: build ## Campaign: SIGSEGV to SEGV=1000 workers of the validator under load
	SINBAHUB_TEST_SEGV=$(SEGV) $(TEST) -tags smoke -run '^TestSmokeWorkerKills$$' -count=1 -v -timeout 30m ./internal/hubtest

.PHONY: slow
slow: build ## Campaign: thousands of useless connections for SLOW=60 seconds beside a participant
	SINBAHUB_TEST_SLOW_SECONDS=$(SLOW) $(TEST) -tags smoke -run '^TestSmokeSlowConnections$$' -count=1 -v -timeout 30m ./internal/hubtest

.PHONY: campaign-kill
campaign-kill: build ## Campaign: KILLS=1000 kill -9 of serve under 50 writers, RECEIPTS=100000
	SINBAHUB_TEST_KILLS=$(KILLS) SINBAHUB_TEST_RECEIPTS=$(RECEIPTS) $(CAMPAIGN) '^TestSmokeKillServeUnderLoad$$'

.PHONY: campaign-database
campaign-database: build ## Campaign: DATABASE_KILLS=300 ends of PostgreSQL under load
	SINBAHUB_TEST_DATABASE_KILLS=$(DATABASE_KILLS) $(CAMPAIGN) '^TestSmokeKillDatabaseUnderLoad$$'

.PHONY: campaign-siss
campaign-siss: build ## Campaign: SISS_DELIVERIES=10000 to a SISS that misbehaves over a bad network
	SINBAHUB_TEST_SISS_DELIVERIES=$(SISS_DELIVERIES) SINBAHUB_TEST_CUT_STEP=$(CUT_STEP) $(CAMPAIGN) '^TestSmokeSissMisbehaves$$'

.PHONY: campaign-freeze
campaign-freeze: build ## Campaign: FREEZES=200 times one of two instances frozen beyond its lease
	SINBAHUB_TEST_FREEZES=$(FREEZES) $(CAMPAIGN) '^TestSmokeFreezeOneOfTwo$$'

.PHONY: campaign-storm
campaign-storm: build ## Campaign: one message STORM_REPEATS=10000 times, STORM_IDS=1000 with 20 racers
	SINBAHUB_TEST_STORM_REPEATS=$(STORM_REPEATS) SINBAHUB_TEST_STORM_IDS=$(STORM_IDS) $(CAMPAIGN) '^TestSmokeDuplicateStorm$$'

.PHONY: campaign-away
campaign-away: build ## Campaign: SISS away for 72 h while AWAY_EVENTS=100000 come in
	SINBAHUB_TEST_AWAY_EVENTS=$(AWAY_EVENTS) $(CAMPAIGN) '^TestSmokeSissAway$$'

.PHONY: campaign-durability
campaign-durability: build ## Campaign: a synced log between request and receipt, DURABLE=200 times
	SINBAHUB_TEST_DURABLE=$(DURABLE) $(CAMPAIGN) '^TestSmokeReceiptsAreSynced$$'

.PHONY: campaign-sweep
campaign-sweep: build ## Campaign: every call to PostgreSQL fails, before and after it took effect
	SINBAHUB_TEST_SWEEP_STEP=$(SWEEP_STEP) $(CAMPAIGN) '^TestSmokeSweep$$'

.PHONY: campaign-tamper
campaign-tamper: build ## Campaign: TAMPERINGS=1000 changes by a superuser anywhere in the database, each exported and verified
	SINBAHUB_TEST_TAMPERINGS=$(TAMPERINGS) $(CAMPAIGN) '^TestSmokeTampering$$'

.PHONY: campaign-canary
campaign-canary: build ## Campaign: CANARIES=10000 messages with marked identities while everything fails, searched for everywhere
	SINBAHUB_TEST_CANARIES=$(CANARIES) $(CAMPAIGN) '^TestSmokeCanaryStorm$$'

.PHONY: campaign-check
campaign-check: build ## Check the kept FOLDER of a campaign that died, with nothing else; AS_IS=1: as it stands
	SINBAHUB_TEST_FOLDER=$(FOLDER) SINBAHUB_TEST_AS_IS=$(AS_IS) $(CAMPAIGN) '^TestSmokeCheckerReadsAnotherTestsFolder$$'
.PHONY: failover
failover: build ## Campaign: lose the primary FAILOVER=30 times under load, in four ways
	SINBAHUB_TEST_FAILOVER=$(FAILOVER) $(TEST) -tags smoke -run '^TestSmokeFailover$$' -count=1 -v -timeout 90m ./internal/hubtest

.PHONY: diskfull
diskfull: build ## Campaign: fill the database's disk and free it DISKFULL=20 times under load
	SINBAHUB_TEST_DISKFULL=$(DISKFULL) $(TEST) -tags smoke -run '^TestSmokeDiskFull$$' -count=1 -v -timeout 90m ./internal/hubtest

.PHONY: upgrade
upgrade: build ## Campaign: come from each commit UPGRADE that changed the schema, with work in flight
	SINBAHUB_TEST_UPGRADE="$(UPGRADE)" $(TEST) -tags smoke -run '^TestSmokeUpgrade$$' -count=1 -v -timeout 90m ./internal/hubtest

.PHONY: check
check: lint test e2e ## Linters, tests, one end-to-end run

.PHONY: lint
lint: deps $(LINT) ## Run the linters (builds them once)
	$(LINT) config verify
	$(LINT) run

.PHONY: fmt
fmt: $(LINT) ## Format the Go files
	$(LINT) fmt

.PHONY: fuzz
fuzz: deps ## Fuzz every reader of foreign bytes, FUZZTIME=30s each, and the C core with a sanitizer
	@set -eu; for package in $$($(GO) list ./...); do \
		targets=$$($(TEST) -list '^Fuzz' $$package); \
		for target in $$(echo "$$targets" | grep '^Fuzz' || true); do \
			echo "== $$package $$target"; \
			$(FUZZ) $$package $$target $(FUZZTIME); \
		done; \
	done
	@echo "== FuzzCheck with the address sanitizer"
	ASAN_OPTIONS=detect_leaks=0 $(FUZZ) ./pkg/xmlschema FuzzCheck $(FUZZTIME) -asan

.PHONY: bench
bench: build ## Measure the main line end to end and print the figures
	$(TEST) -tags bench -run '^TestBench$$' -count=1 -timeout 30m -v ./internal/hubtest
	$(TEST) -tags bench -run '^TestBenchExport$$' -count=1 -timeout 30m -v ./internal/app
	$(TEST) -run '^$$' -bench '^(BenchmarkPlainInserts|BenchmarkAccept)$$/^clients=64$$' -benchtime 20000x ./internal/postgres
	$(TEST) -run '^$$' -bench '^(BenchmarkSequence|BenchmarkProve|BenchmarkPatrol)$$' -benchtime 20000x ./internal/postgres
	$(TEST) -run '^$$' -bench '^BenchmarkBundle$$' ./internal/verify
	$(TEST) -run '^$$' -bench '^BenchmarkDeliver$$' -benchtime 10000x ./internal/delivery
	$(TEST) -run '^$$' -bench '^BenchmarkPoison$$' -benchtime 10000x -timeout 30m ./internal/delivery

.PHONY: bench-replay
bench-replay: build ## Measure replay verify over what a load left
	$(TEST) -tags bench -run '^TestBenchReplay$$' -count=1 -timeout 30m -v ./internal/hubtest

.PHONY: bench-rotate
bench-rotate: deps ## Index ROTATE=100000 people under a new link key while others ask, and print the time
	SINBAHUB_ROTATE=$(or $(ROTATE),100000) $(TEST) -run '^TestReindexingUnderLoadKeepsEverySubject$$' -count=1 -timeout 30m -v ./internal/opener

# Another commit's binaries are built in a work tree of its own, and both sides in the same way.
.PHONY: bench-compare
bench-compare: deps ## Compare this tree with commit BASE=HEAD~1 in ROUNDS=5 interleaved rounds
	rm -rf bin/compare && git worktree prune && git worktree add --quiet --detach bin/compare/tree $(BASE)
	(cd bin/compare/tree && $(BUILD) -o ../base/ ./cmd/...) && $(BUILD) -o bin/compare/new/ ./cmd/...
	git worktree remove --force bin/compare/tree
	BENCH_BASE=$(CURDIR)/bin/compare/base BENCH_NEW=$(CURDIR)/bin/compare/new BENCH_ROUNDS=$(ROUNDS) \
		$(TEST) -tags bench -run '^TestBenchCompare$$' -count=1 -timeout 60m -v ./internal/hubtest

.PHONY: bench-profile
bench-profile: deps ## Keep the CPU profile of serve under load in bin/profile/serve.prof
	$(BUILD) -tags profile -o bin/profile/ ./cmd/...
	BENCH_NEW=$(CURDIR)/bin/profile BENCH_PROFILE=$(CURDIR)/bin/profile/serve.prof \
		$(TEST) -tags bench -run '^TestBenchProfile$$' -count=1 -timeout 10m -v ./internal/hubtest
	$(GO) tool pprof -top -cum -nodecount=40 bin/profile/sinbahub bin/profile/serve.prof

.PHONY: deps
deps: ## Install what is missing on Debian: gcc, libxml2-dev, pkg-config, postgresql
	@command -v $(GO) >/dev/null || { echo "Go is missing: install the version of go.mod from https://go.dev/dl/" >&2; exit 1; }
	@deploy/deps.sh

.PHONY: deps-clients
deps-clients: $(NODE)/node_modules/.package-lock.json ## Install the SOAP clients of the end-to-end tests
	@deploy/deps.sh clients

.PHONY: deps-stacks
deps-stacks: ## Install the heavier SOAP stacks of `clients`: PHP, gSOAP, JAX-WS with a JDK
	@deploy/deps.sh stacks

$(NODE)/node_modules/.package-lock.json: $(NODE)/package-lock.json
	@deploy/deps.sh clients
	cd $(NODE) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(LINT): internal/tools/go.mod internal/tools/go.sum
	@echo "Building golangci-lint $(LINT_VERSION), once: this takes minutes"
	@mkdir -p $(CACHE)
	cd internal/tools && $(GO) build -mod=readonly -trimpath -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

.PHONY: clean
clean: down ## Stop everything and remove what was built; the demo's data in var/ stay
	rm -rf bin $(NODE)/node_modules

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
